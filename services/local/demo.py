"""Two releases through five regions: one completes, one is taken back by an alert."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sluiceway.cli import reading
from sluiceway.cli.apply import apply
from sluiceway.cli.documents import read
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.applied import AppliedReport
from sluiceway.contracts.commands import ApprovePhase
from sluiceway.contracts.envelope import rfc3339
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, feature_of
from sluiceway.errors import Misconfigured
from sluiceway.messaging.commanding import Commander
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import Entry, FeatureView
from sluiceway.messaging.following import Follower, Record
from sluiceway.settings import BrokerSettings

from .system import Options, running_system
from .up import CATALOGUE, EXAMPLES, apply_first

ACTOR = "demo"
STEP_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.02
ALERT = "CheckoutErrorsHigh"


async def demo(nats_url: str | None, *, as_json: bool) -> None:
    """Run the whole story; `Misconfigured` where a step does not come about in time."""
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="sluiceway-demo-") as folder:
        tell = _teller(console)
        tell("[b]1. Start[/b]: a broker, the services and a subscriber per region, each a process of its own")
        options = Options(Path(folder), nats_url, tell=lambda line: tell(f"   {line}"))
        async with AsyncExitStack() as stack:
            system = await stack.enter_async_context(running_system(options))
            tell("[b]2. Apply the catalogue[/b] of deploy/examples/catalogue")
            await apply_first(system.nats_url, CATALOGUE)
            await system.settled()
            await system.ready()
            settings = BrokerSettings(nats_url=system.nats_url)
            connection = await stack.enter_async_context(connected(settings, "demo"))
            story = Story(connection, console)
            await stack.enter_async_context(story.features)
            await stack.enter_async_context(story.applied)
            await story.features.caught_up()
            result = await story.tell_all()
    _close(console, result, as_json=as_json)


class Story:
    """The two releases, told as they happen."""

    def __init__(self, connection: Connection, console: Console) -> None:
        self.features = FeatureView(connection, FeatureLog(connection, "/sluiceway/demo"))
        self.applied = Follower(connection, subjects.APPLIED_STREAM, [subjects.APPLIED], self._take_report)
        self._connection = connection
        self._tell = _teller(console)
        self._sequences: dict[str, list[Entry]] = {}
        #: feature → revision → region → milliseconds.
        self._milliseconds: dict[FeatureKey, dict[int, dict[str, float]]] = {}
        self.features.on_change = self._take_event

    async def tell_all(self) -> dict[str, Any]:
        """Run both releases; return the result as JSON."""
        self._regions = sorted((await reading.catalogue(self._connection)).regions)
        self._tell("[b]3. Release[/b] new_checkout: a change that goes well")
        completed = await self._complete("new_checkout.yaml")
        self._tell("[b]4. Release[/b] checkout_limits: a change that an alert takes back")
        rolled_back, rollback_ms = await self._roll_back("checkout_limits.yaml")
        releases = [self._result(completed), self._result(rolled_back)]
        return {"releases": releases, "rollback_ms": rollback_ms}

    async def _complete(self, change: str) -> Trigger:
        trigger = await self._start(change)
        await self._through_review(trigger)
        for phase in trigger.pipeline.phases[3:]:
            await self._show_phase(trigger.id, phase.id)
        return await self._until(
            trigger.id, lambda t: t.status is TriggerStatus.COMPLETED, "the release completes"
        )

    async def _roll_back(self, change: str) -> tuple[Trigger, float]:
        trigger = await self._start(change)
        await self._through_review(trigger)
        self._tell(
            f"   [yellow]alert {ALERT} fires[/yellow] for dynamic_config=checkout_limits in prod-us-west"
        )
        fired_ms = now_ms()
        alert = Alert(name=ALERT, labels={"dynamic_config": "checkout_limits", "region": "prod-us-west"})
        await self._connection.js.publish(subjects.alert("demo"), alert.to_json())
        ended = await self._until(
            trigger.id, lambda t: t.status is TriggerStatus.ROLLED_BACK, "the monitor rolls it back"
        )
        revision = self._entry(ended.id, EventType.TRIGGER_ROLLED_BACK).sequence
        released = {"dev", "staging", "prod-us-west"}
        await self._wait(
            lambda: released <= self._applied_at(ended.id, revision).keys(), "every region is back"
        )
        event = self._entry(ended.id, EventType.TRIGGER_ROLLED_BACK).event
        slowest = max(self._applied_at(ended.id, revision).values())
        rollback_ms = round(event.time_ms - fired_ms + slowest, 1)
        self._tell(f"   rolled back: {event.reason}")
        await self._show_holders(ended.id)
        self._tell(f"   from the alert to the last region: [b]{rollback_ms:.0f} ms[/b]")
        return ended, rollback_ms

    async def _start(self, change: str) -> Trigger:
        results = await apply(self._connection, read([str(EXAMPLES / "changes" / change)]), ACTOR, "demo")
        trigger_id = results[0].trigger
        if trigger_id is None:
            raise Misconfigured(f"{change} started no trigger: {results[0].message}")
        self._tell(f"   {results[0].message}")
        return await self._until(trigger_id, lambda t: True, "the trigger is seen")

    async def _through_review(self, trigger: Trigger) -> None:
        """Follow the release to its review in prod-us-west, approve, and on."""
        for before in trigger.pipeline.phases[:2]:
            await self._show_phase(trigger.id, before.id)
        waiting = await self._until(
            trigger.id, lambda t: t.status is TriggerStatus.WAITING_FOR_REVIEW, "it waits for its review"
        )
        phase = waiting.current_run.phase.id
        self._tell(f"   {phase} waits for review; [b]approved[/b] by {ACTOR}")
        approve = ApprovePhase(actor=ACTOR, reason="looks good", trigger=trigger.id, phase_id=phase)
        await Commander(self._connection).send(approve)
        await self._show_phase(trigger.id, phase)

    async def _show_phase(self, trigger_id: str, phase: str) -> None:
        """Wait until a phase is out, then show who holds the candidate, and who does not."""
        await self._until(trigger_id, lambda t: _has_started(t, phase), f"phase {phase} starts")
        revision = self._started_at(trigger_id, phase).sequence
        await self._wait(lambda: self._applied_at(trigger_id, revision), f"{phase} is applied")
        times = ", ".join(
            f"{region} {ms:.0f} ms" for region, ms in self._applied_at(trigger_id, revision).items()
        )
        self._tell(f"   phase [b]{phase}[/b] is out, applied after: {times}")
        await self._show_holders(trigger_id)

    async def _show_holders(self, trigger_id: str) -> None:
        holders = []
        for region in self._regions:
            documents = await reading.rules(self._connection, region)
            holds = any(trigger_id == d.trigger for d in documents if d.key == feature_of(trigger_id))
            holders.append(f"[green]●[/green] {region}" if holds else f"[dim]○ {region}[/dim]")
        self._tell(f"      {'   '.join(holders)}")

    def _take_event(self, entry: Entry) -> None:
        trigger = entry.event.feature.trigger
        if trigger:
            self._sequences.setdefault(trigger.id, []).append(entry)

    def _take_report(self, record: Record) -> None:
        report = AppliedReport.model_validate_json(record.data)
        for change in report.changes:
            of_feature = self._milliseconds.setdefault(FeatureKey(change.kind, change.name), {})
            of_feature.setdefault(change.revision, {}).setdefault(report.region, change.after_ms)

    def _applied_at(self, trigger_id: str, revision: int) -> dict[str, float]:
        return self._milliseconds.get(feature_of(trigger_id), {}).get(revision, {})

    def _entry(self, trigger_id: str, type_: EventType) -> Entry:
        return next(entry for entry in self._sequences[trigger_id] if entry.event.type is type_)

    def _started_at(self, trigger_id: str, phase: str) -> Entry:
        """Return the event that released a phase."""
        return next(
            entry
            for entry in self._sequences[trigger_id]
            if (trigger := entry.event.feature.trigger) and _has_started(trigger, phase)
        )

    def _result(self, trigger: Trigger) -> dict[str, Any]:
        phases = [
            {
                "phase": run.phase.id,
                "started_at": rfc3339(run.started_ms),
                "regions": self._applied_at(trigger.id, self._started_at(trigger.id, run.phase.id).sequence),
            }
            for run in trigger.phases
            if run.started_ms is not None
        ]
        return {"trigger": trigger.id, "outcome": trigger.status.lower(), "phases": phases}

    async def _until(self, trigger_id: str, condition: Callable[[Trigger], bool], what: str) -> Trigger:
        def look() -> Trigger | None:
            entry = self.features.get(feature_of(trigger_id))
            trigger = entry.event.feature.trigger if entry else None
            return trigger if trigger and trigger.id == trigger_id and condition(trigger) else None

        found = await self._wait(look, what)
        assert isinstance(found, Trigger)
        return found

    async def _wait(self, look: Callable[[], object], what: str) -> object:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                while not (found := look()):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
                return found
        except TimeoutError:
            raise Misconfigured(f"waited {STEP_SECONDS:g} s in vain until {what}") from None


def _has_started(trigger: Trigger, phase: str) -> bool:
    return any(run.phase.id == phase and run.started_ms is not None for run in trigger.phases)


def _close(console: Console, result: dict[str, Any], *, as_json: bool) -> None:
    table = Table(title="5. What happened", title_justify="left")
    for column in ("release", "phase", "started", "applied after"):
        table.add_column(column, overflow="fold")
    for release in result["releases"]:
        for phase in release["phases"]:
            times = ", ".join(f"{region} {ms:.0f} ms" for region, ms in phase["regions"].items())
            table.add_row(release["trigger"], phase["phase"], phase["started_at"], times)
        table.add_row("", release["outcome"], "", "", end_section=True)
    console.print(table)
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")


def _teller(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, highlight=False, soft_wrap=True)
