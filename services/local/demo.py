"""Two releases through five regions: one completes, one is taken back by an alert."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from sluiceway.cli import snapshots
from sluiceway.cli.apply import apply_all
from sluiceway.cli.document_files import read_documents
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import ApprovePhase
from sluiceway.contracts.envelope import rfc3339
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.identifiers import feature_of
from sluiceway.errors import Misconfigured
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.connection import Connection, connected
from sluiceway.settings import BrokerSettings

from .demo_record import Alarm, RecordedRelease, RecordedRun
from .picture.page import draw
from .recorder import Recorder
from .system import Options, running_system
from .up import CATALOGUE, EXAMPLES, apply_first

ACTOR = "demo"
STEP_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.02
#: What a person takes until the approval, and an error until its alert, where a picture shows both.
THINKING_SECONDS = 1.6
ALERT = "CheckoutErrorsHigh"

T = TypeVar("T")
Tell = Callable[[str], None]


async def demo(
    nats_url: str | None, *, as_json: bool, picture: Path | None = None, is_watched: bool = False
) -> None:
    """Run the whole story; `Misconfigured` where a step does not come about in time.

    A `picture` of what was recorded is written there. Where somebody is watching, it goes on until they
    have seen enough.
    """
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
            recorder = await stack.enter_async_context(Recorder(connection))
            thinking_seconds = THINKING_SECONDS if picture else 0.0
            tell(f"   watch it at {system.console()}, with the key {system.first_key_file.read_text()}")
            run = await Story(connection, recorder, tell, thinking_seconds).tell_all()
            _close(console, _result(run), as_json=as_json)
            if picture:
                _write(picture, draw(run))
                tell(f"drawn: {picture}")
            tell(f"The console shows both releases while this runs: {system.console()}")
            if is_watched and not as_json:
                await _until_enter(tell)


async def _until_enter(tell: Tell) -> None:
    """Return once somebody presses Enter, or closes the input."""
    tell("Look around; Enter ends everything.")
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(sys.stdin)


class Story:
    """The two releases, told as they happen."""

    def __init__(
        self, connection: Connection, recorder: Recorder, tell: Tell, thinking_seconds: float
    ) -> None:
        self._connection = connection
        self._recorder = recorder
        self._tell = tell
        self._thinking_seconds = thinking_seconds

    async def tell_all(self) -> RecordedRun:
        """Run both releases; return what was recorded."""
        self._regions = sorted((await snapshots.catalogue(self._connection)).regions)
        self._tell("[b]3. Release[/b] new_checkout: a change that goes well")
        completed = await self._complete("new_checkout.yaml")
        self._tell("[b]4. Release[/b] checkout_limits: a change that an alert takes back")
        rolled_back = await self._roll_back("checkout_limits.yaml")
        return RecordedRun(tuple(self._regions), (completed, rolled_back))

    async def _complete(self, change: str) -> RecordedRelease:
        trigger = await self._start(change)
        await self._through_review(trigger)
        for phase in trigger.pipeline.phases[3:]:
            await self._show_phase(trigger.id, phase.id)
        await self._until(trigger.id, lambda t: t.status is TriggerStatus.COMPLETED, "the release completes")
        return self._recorder.release(trigger.id)

    async def _roll_back(self, change: str) -> RecordedRelease:
        trigger = await self._start(change)
        await self._through_review(trigger)
        await asyncio.sleep(self._thinking_seconds)
        self._tell(
            f"   [yellow]alert {ALERT} fires[/yellow] for dynamic_config=checkout_limits in prod-us-west"
        )
        alarm = Alarm(ALERT, now_ms())
        alert = Alert(name=ALERT, labels={"dynamic_config": "checkout_limits", "region": "prod-us-west"})
        await self._connection.js.publish(subjects.alert("demo"), alert.to_json())
        await self._until(
            trigger.id, lambda t: t.status is TriggerStatus.ROLLED_BACK, "the monitor rolls it back"
        )
        release = await self._reverted(trigger.id, alarm)
        self._tell(f"   rolled back: {release.last.reason}")
        await self._show_holders(trigger.id)
        self._tell(f"   from the alert to the last region: [b]{release.rollback_ms:.0f} ms[/b]")
        return release

    async def _start(self, change: str) -> Trigger:
        results = await apply_all(
            self._connection, read_documents([str(EXAMPLES / "changes" / change)]), ACTOR, "demo"
        )
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
        await asyncio.sleep(self._thinking_seconds)
        phase = waiting.current_run.phase.id
        self._tell(f"   {phase} waits for review; [b]approved[/b] by {ACTOR}")
        approve = ApprovePhase(actor=ACTOR, reason="looks good", trigger=trigger.id, phase_id=phase)
        await CommandClient(self._connection).send(approve)
        await self._show_phase(trigger.id, phase)

    async def _show_phase(self, trigger_id: str, phase: str) -> None:
        """Wait until a phase is out, then show who holds the candidate, and who does not."""
        await self._until(trigger_id, lambda t: _has_started(t, phase), f"phase {phase} starts")
        await self._wait(
            lambda: self._recorder.release(trigger_id).start_of(phase).applied, f"{phase} is applied"
        )
        applied = self._recorder.release(trigger_id).start_of(phase).applied
        self._tell(f"   phase [b]{phase}[/b] is out, applied after: {_times(applied)}")
        await self._show_holders(trigger_id)

    async def _reverted(self, trigger_id: str, alarm: Alarm) -> RecordedRelease:
        """Wait until every region that served the candidate serves the base again."""

        def look() -> RecordedRelease | None:
            release = self._recorder.release(trigger_id, alarm)
            served = {region for step in release.steps for region in step.applied}
            return release if served <= release.last.applied.keys() else None

        return await self._wait(look, "every region is back")

    async def _show_holders(self, trigger_id: str) -> None:
        holders = []
        for region in self._regions:
            documents = await snapshots.rules(self._connection, region)
            holds = any(trigger_id == d.trigger for d in documents if d.key == feature_of(trigger_id))
            holders.append(f"[green]●[/green] {region}" if holds else f"[dim]○ {region}[/dim]")
        self._tell(f"      {'   '.join(holders)}")

    async def _until(self, trigger_id: str, condition: Callable[[Trigger], bool], what: str) -> Trigger:
        def look() -> Trigger | None:
            trigger = self._recorder.trigger(trigger_id)
            return trigger if trigger and condition(trigger) else None

        return await self._wait(look, what)

    async def _wait(self, look: Callable[[], T | None], what: str) -> T:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                while not (found := look()):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
                return found
        except TimeoutError:
            raise Misconfigured(f"waited {STEP_SECONDS:g} s in vain until {what}") from None


def _has_started(trigger: Trigger, phase: str) -> bool:
    return any(run.phase.id == phase and run.started_ms is not None for run in trigger.phases)


def _result(run: RecordedRun) -> dict[str, Any]:
    """Return the JSON form."""
    releases = [
        {"trigger": r.trigger, "outcome": r.last.status.lower(), "phases": [_phase(r, p) for p in r.started]}
        for r in run.releases
    ]
    rollback_ms = next(r.rollback_ms for r in run.releases if r.rollback_ms is not None)
    return {"releases": releases, "rollback_ms": round(rollback_ms, 1)}


def _phase(release: RecordedRelease, phase: str) -> dict[str, Any]:
    step = release.start_of(phase)
    return {"phase": phase, "started_at": rfc3339(step.time_ms), "regions": dict(step.applied)}


def _close(console: Console, result: dict[str, Any], *, as_json: bool) -> None:
    table = Table(title="5. What happened", title_justify="left")
    for column in ("release", "phase", "started", "applied after"):
        table.add_column(column, overflow="fold")
    for release in result["releases"]:
        for phase in release["phases"]:
            times = _times(phase["regions"])
            table.add_row(release["trigger"], phase["phase"], phase["started_at"], times)
        table.add_row("", release["outcome"], "", "", end_section=True)
    console.print(table)
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")


def _write(picture: Path, svg: str) -> None:
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(svg, "utf-8")


def _times(applied: Mapping[str, float]) -> str:
    return ", ".join(f"{region} {ms:.0f} ms" for region, ms in applied.items())


def _teller(console: Console) -> Tell:
    return lambda line: console.print(line, highlight=False, soft_wrap=True)
