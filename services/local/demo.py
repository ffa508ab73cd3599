"""Two releases through five regions: one completes, an alert rolls the other back."""

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

from sluiceway.cli.apply import apply_all
from sluiceway.cli.current_state import read_catalogue, read_rules
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
from sluiceway.messaging.publishing import StreamPublisher
from sluiceway.settings import BrokerSettings

from .demo_record import RecordedAlert, RecordedRelease, RecordedRun
from .recorder import Recorder
from .system import Options, running_system
from .up import CATALOGUE, EXAMPLES, apply_first

ACTOR = "demo"
STEP_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.02
#: How long the demo waits before it approves, and before the alert fires, so that a picture shows both.
PICTURE_DELAY_SECONDS = 1.6
ALERT = "CheckoutErrorsHigh"

T = TypeVar("T")
PrintLine = Callable[[str], None]


async def demo(
    nats_url: str | None, *, as_json: bool, picture: Path | None = None, wait_for_enter: bool = False
) -> None:
    """Start everything and run both releases; `Misconfigured` if a step does not happen in time.

    With a `picture`, what was recorded is drawn into that file. With `wait_for_enter`, the system keeps
    running until the user presses Enter.
    """
    draw = _draw_function() if picture else None
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="sluiceway-demo-") as folder:

        def print_line(line: str) -> None:
            console.print(line, highlight=False, soft_wrap=True)

        print_line("[b]1. Start[/b] a broker, the services and one edge per region, each in its own process")
        options = Options(Path(folder), nats_url, print_line=lambda line: print_line(f"   {line}"))
        async with AsyncExitStack() as stack:
            system = await stack.enter_async_context(running_system(options))
            print_line("[b]2. Apply the catalogue[/b] in deploy/examples/catalogue")
            await apply_first(system.nats_url, CATALOGUE)
            await system.edges_started()
            await system.ready()
            settings = BrokerSettings(nats_url=system.nats_url)
            connection = await stack.enter_async_context(connected(settings, "demo"))
            recorder = await stack.enter_async_context(Recorder(connection))
            key = system.first_key_file.read_text()
            print_line(f"   watch the releases at {system.console_url()}; sign in with the key {key}")
            delay_seconds = PICTURE_DELAY_SECONDS if picture else 0.0
            run = await DemoReleases(connection, recorder, print_line, delay_seconds).run()
            _print_result(console, _result(run), as_json=as_json)
            if picture and draw:
                _write(picture, draw(run))
                print_line(f"drawn: {picture}")
            if wait_for_enter and not as_json:
                print_line(f"The console still shows both releases: {system.console_url()}")
                await _wait_for_enter(print_line)


def _draw_function() -> Callable[[RecordedRun], str]:
    """Return the function that draws a run; `Misconfigured` if matplotlib is not installed."""
    try:
        from .release_chart import draw_run
    except ImportError as error:
        raise Misconfigured("--picture needs matplotlib: pip install 'sluiceway[dashboards]'") from error
    return draw_run


async def _wait_for_enter(print_line: PrintLine) -> None:
    """Return once the user presses Enter or closes the input."""
    print_line("Look around. Press Enter to stop everything.")
    pressed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, pressed.set)
    try:
        await pressed.wait()
    finally:
        loop.remove_reader(sys.stdin)


class DemoReleases:
    """Runs the two releases, and prints each step when it happens."""

    def __init__(
        self, connection: Connection, recorder: Recorder, print_line: PrintLine, delay_seconds: float
    ) -> None:
        self._connection = connection
        self._recorder = recorder
        self._print_line = print_line
        self._delay_seconds = delay_seconds

    async def run(self) -> RecordedRun:
        """Run both releases; return what was recorded."""
        self._regions = sorted((await read_catalogue(self._connection)).regions)
        self._print_line("[b]3. Release[/b] new_checkout: the change works, and the release completes")
        completed = await self._complete("new_checkout.yaml")
        self._print_line("[b]4. Release[/b] checkout_limits: the change causes errors, and an alert fires")
        rolled_back = await self._roll_back("checkout_limits.yaml")
        return RecordedRun(tuple(self._regions), (completed, rolled_back))

    async def _complete(self, change: str) -> RecordedRelease:
        trigger = await self._start(change)
        await self._release_until_approved(trigger)
        for phase in trigger.pipeline.phases[3:]:
            await self._show_phase(trigger.id, phase.id)
        await self._wait_for_trigger(
            trigger.id, lambda t: t.status is TriggerStatus.COMPLETED, "the release completes"
        )
        return self._recorder.release(trigger.id)

    async def _roll_back(self, change: str) -> RecordedRelease:
        trigger = await self._start(change)
        await self._release_until_approved(trigger)
        await asyncio.sleep(self._delay_seconds)
        self._print_line(
            f"   [yellow]alert {ALERT} fires[/yellow] for dynamic_config=checkout_limits in prod-us-west"
        )
        recorded_alert = RecordedAlert(ALERT, now_ms())
        alert = Alert(name=ALERT, labels={"dynamic_config": "checkout_limits", "region": "prod-us-west"})
        publisher = StreamPublisher(self._connection, subjects.ALERTS_STREAM)
        await publisher.publish(subjects.alert("demo"), alert.to_json())
        await self._wait_for_trigger(
            trigger.id, lambda t: t.status is TriggerStatus.ROLLED_BACK, "the monitor rolls the release back"
        )
        release = await self._wait_for_revert(trigger.id, recorded_alert)
        self._print_line(f"   rolled back: {release.last.reason}")
        await self._show_regions(trigger.id)
        self._print_line(f"   from the alert to the last region: [b]{release.rollback_ms:.0f} ms[/b]")
        return release

    async def _start(self, change: str) -> Trigger:
        results = await apply_all(
            self._connection, read_documents([str(EXAMPLES / "changes" / change)]), ACTOR, "demo"
        )
        trigger_id = results[0].trigger
        if trigger_id is None:
            raise Misconfigured(f"{change} started no trigger: {results[0].message}")
        self._print_line(f"   {results[0].message}")
        return await self._wait_for_trigger(trigger_id, lambda t: True, "the trigger is recorded")

    async def _release_until_approved(self, trigger: Trigger) -> None:
        """Follow the release until prod-us-west waits for review; approve it, and wait until it is out."""
        for earlier in trigger.pipeline.phases[:2]:
            await self._show_phase(trigger.id, earlier.id)
        waiting = await self._wait_for_trigger(
            trigger.id, lambda t: t.status is TriggerStatus.WAITING_FOR_REVIEW, "the release waits for review"
        )
        await asyncio.sleep(self._delay_seconds)
        phase = waiting.current_run.phase.id
        self._print_line(f"   phase [b]{phase}[/b] waits for review; [b]approved[/b] by {ACTOR}")
        approve = ApprovePhase(actor=ACTOR, reason="looks good", trigger=trigger.id, phase_id=phase)
        await CommandClient(self._connection).send(approve)
        await self._show_phase(trigger.id, phase)

    async def _show_phase(self, trigger_id: str, phase: str) -> None:
        """Wait until a phase is out, then show which regions have the candidate."""
        await self._wait_for_trigger(trigger_id, lambda t: _has_started(t, phase), f"phase {phase} starts")
        applied = await self._poll(
            lambda: self._recorder.release(trigger_id).start_of(phase).applied, f"phase {phase} is applied"
        )
        self._print_line(f"   phase [b]{phase}[/b] is out; applied after {_times(applied)}")
        await self._show_regions(trigger_id)

    async def _wait_for_revert(self, trigger_id: str, alert: RecordedAlert) -> RecordedRelease:
        """Wait until every region that served the candidate serves the base again."""

        def reverted() -> RecordedRelease | None:
            release = self._recorder.release(trigger_id, alert)
            served = {region for event in release.events for region in event.applied}
            return release if served <= release.last.applied.keys() else None

        return await self._poll(reverted, "every region serves the base again")

    async def _show_regions(self, trigger_id: str) -> None:
        """Print every region, with a filled circle if it has the candidate."""
        marked = []
        for region in self._regions:
            documents = await read_rules(self._connection, region)
            has_candidate = any(
                document.trigger == trigger_id
                for document in documents
                if document.key == feature_of(trigger_id)
            )
            marked.append(f"[green]●[/green] {region}" if has_candidate else f"[dim]○ {region}[/dim]")
        self._print_line(f"      {'   '.join(marked)}")

    async def _wait_for_trigger(
        self, trigger_id: str, condition: Callable[[Trigger], bool], expected: str
    ) -> Trigger:
        def matching() -> Trigger | None:
            trigger = self._recorder.trigger(trigger_id)
            return trigger if trigger and condition(trigger) else None

        return await self._poll(matching, expected)

    async def _poll(self, read: Callable[[], T | None], expected: str) -> T:
        """Return what `read` returns, once it is not empty."""
        try:
            async with asyncio.timeout(STEP_TIMEOUT_SECONDS):
                while not (result := read()):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
                return result
        except TimeoutError:
            raise Misconfigured(
                f"timed out after {STEP_TIMEOUT_SECONDS:g} s waiting until {expected}"
            ) from None


def _has_started(trigger: Trigger, phase: str) -> bool:
    return any(run.phase.id == phase and run.started_ms is not None for run in trigger.phases)


def _result(run: RecordedRun) -> dict[str, Any]:
    """Return the run as the JSON that `--json` prints."""
    releases = [
        {
            "trigger": release.trigger,
            "outcome": release.last.status.lower(),
            "phases": [_phase(release, phase) for phase in release.started_phases],
        }
        for release in run.releases
    ]
    rollback_ms = next(r.rollback_ms for r in run.releases if r.rollback_ms is not None)
    return {"releases": releases, "rollback_ms": round(rollback_ms, 1)}


def _phase(release: RecordedRelease, phase: str) -> dict[str, Any]:
    start = release.start_of(phase)
    return {"phase": phase, "started_at": rfc3339(start.time_ms), "regions": dict(start.applied)}


def _print_result(console: Console, result: dict[str, Any], *, as_json: bool) -> None:
    table = Table(title="5. What happened", title_justify="left")
    for column in ("release", "phase", "started", "applied after"):
        table.add_column(column, overflow="fold")
    for release in result["releases"]:
        for phase in release["phases"]:
            table.add_row(release["trigger"], phase["phase"], phase["started_at"], _times(phase["regions"]))
        table.add_row("", release["outcome"].replace("_", " "), "", "", end_section=True)
    console.print(table)
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")


def _write(picture: Path, svg: str) -> None:
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(svg, "utf-8")


def _times(applied: Mapping[str, float]) -> str:
    return ", ".join(f"{region} {ms:.0f} ms" for region, ms in applied.items())
