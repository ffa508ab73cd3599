"""`sluiceway watch`: shows releases, guardrails and regions live."""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from ..clock import now_ms
from ..contracts import subjects
from ..contracts.applied_reports import AppliedReport, parse_report
from ..contracts.durations import format_duration
from ..contracts.envelope import rfc3339
from ..contracts.feature import Trigger, TriggerStatus
from ..contracts.identifiers import FeatureKey, feature_of
from ..contracts.measurements import Round, VerdictChanged
from ..errors import Rejected, Unavailable
from ..messaging.catalogue_store import CatalogueView
from ..messaging.feature_view import FeatureEntry
from ..messaging.measurement_store import MeasurementView, StoredRound
from ..messaging.stream_follower import Follower
from ..messaging.stream_records import Record
from ..pipelines.approvals import counted_trigger
from ..pipelines.guardrail_schedule import GuardrailKey
from ..trigger_view import describe_override, phase_status
from .current_state import open_feature_view
from .get import find_trigger
from .guardrail_table import guardrail_table
from .session import EXIT_REFUSED, CliSession

#: How long a trigger stays on the screen after it has ended.
SHOW_ENDED_MS = 60_000
REFRESH_SECONDS = 0.25

TriggerArgument = Annotated[str | None, typer.Argument(help="Show only this trigger.")]
UntilEnded = Annotated[
    bool,
    typer.Option(
        "--until-ended", help="Exit when the trigger has ended: with 0 if it completed, else with 1."
    ),
]


async def watch(
    session: CliSession, trigger: TriggerArgument = None, until_ended: UntilEnded = False
) -> None:
    """Show active releases, and what the regions have applied, until Ctrl-C."""
    if until_ended and trigger is None:
        raise typer.BadParameter("--until-ended needs the id of a trigger")
    screen = _Screen(session, trigger)
    if trigger is not None:
        screen.triggers[trigger] = (await find_trigger(session, trigger))[1]
    with contextlib.suppress(asyncio.CancelledError):  # by Ctrl-C
        await _follow(session, screen, trigger if until_ended else None)
        ended = screen.triggers.get(trigger or "")
        if until_ended and ended and ended.status is not TriggerStatus.COMPLETED:
            raise typer.Exit(EXIT_REFUSED)


async def _follow(session: CliSession, screen: "_Screen", until_ended: str | None) -> None:
    async with AsyncExitStack() as stack:
        view = await stack.enter_async_context(open_feature_view(session.connection))
        await stack.enter_async_context(screen.catalogue)
        for entry in view:
            screen.add(entry)
        view.on_change = screen.on_event
        await stack.enter_async_context(
            Follower(session.connection, subjects.APPLIED_STREAM, [subjects.APPLIED], screen.on_report)
        )
        measurements = MeasurementView(session.connection)
        measurements.on_round = screen.on_round
        await stack.enter_async_context(measurements)
        await stack.enter_async_context(
            Follower(session.connection, subjects.VERDICTS_STREAM, [subjects.VERDICTS], screen.on_verdict)
        )
        if session.output.console.is_terminal and not session.as_json:
            live = Live(screen.draw(), console=session.output.console, refresh_per_second=4)
            stack.enter_context(live)
            screen.live = live
        await screen.until_ended(until_ended)


class _Screen:
    """The state of releases and regions. It is drawn live on a terminal, else printed as lines."""

    def __init__(self, session: CliSession, trigger_id: str | None) -> None:
        self.triggers: dict[str, Trigger] = {}
        self.catalogue = CatalogueView(session.connection)
        self.live: Live | None = None
        self._session = session
        #: Shows only this trigger; None: all.
        self._trigger_id = trigger_id
        self._rounds: dict[GuardrailKey, Round] = {}
        self._reports: dict[str, AppliedReport] = {}
        self._changed = asyncio.Event()

    def add(self, entry: FeatureEntry) -> None:
        try:
            trigger = entry.event.feature.trigger
        except Rejected:  # not a valid event; keep the previous state
            return
        if trigger and self._trigger_id in (None, trigger.id):
            self.triggers[trigger.id] = trigger
        self._changed.set()

    def on_event(self, entry: FeatureEntry) -> None:
        self.add(entry)
        event, trigger = entry.event, entry.event.feature.trigger
        if self._trigger_id and (trigger is None or trigger.id != self._trigger_id):
            return
        if self._session.as_json:
            self._session.output.print_json(event.model_dump(mode="json"))
        elif self.live is None:
            subject = f"{trigger.id} {trigger.status} {event.phase_id or ''}" if trigger else str(entry.key)
            reason = f" ({' '.join(event.reason.split())})" if event.reason else ""
            by = f"by {event.actor_id}{reason}{describe_override(event.overrode)}"
            self._session.output.print_line(f"{rfc3339(event.time_ms)} {event.type} {subject} {by}")

    def on_report(self, record: Record) -> None:
        try:
            report = parse_report(record.subject, record.data)
        except ValueError:  # not of an instance of ours
            return
        self._reports[record.subject] = report
        is_new = now_ms() - report.time_ms < SHOW_ENDED_MS
        if self.live or self._session.as_json or not is_new:
            return
        for change in report.changes:
            key = FeatureKey(change.kind, change.name)
            if self._trigger_id is None or key == feature_of(self._trigger_id):
                what = f"{key} revision {change.revision} after {change.after_ms:.0f} ms"
                self._session.output.print_line(f"{rfc3339(report.time_ms)} {report.region} applied {what}")

    def on_round(self, stored: StoredRound) -> None:
        round_ = stored.round
        if self._trigger_id in (None, round_.trigger):
            self._rounds[GuardrailKey(round_.trigger, round_.phase_id, round_.guardrail)] = round_

    def on_verdict(self, record: Record) -> None:
        change = VerdictChanged.model_validate_json(record.data, extra="ignore")
        is_new = now_ms() - change.time_ms < SHOW_ENDED_MS
        if self.live or not is_new or self._trigger_id not in (None, change.trigger):
            return
        if self._session.as_json:
            self._session.output.print_json({"type": "guardrail_verdict", **change.to_jsonable()})
        else:
            self._session.output.print_line(
                f"{rfc3339(change.time_ms)} guardrail_{change.verdict} {change.trigger} ({change.reason})"
            )

    async def until_ended(self, trigger: str | None) -> None:
        """Draw until the trigger has ended, or forever without one.

        `Unavailable` if the broker disconnects, because the screen would no longer be current.
        """
        while not self._session.output.is_closed and (
            trigger is None or self.triggers[trigger].status.is_active
        ):
            if not self._session.connection.client.is_connected:
                raise Unavailable(f"lost the connection to the broker at {self._session.settings.nats_url}")
            self._changed.clear()
            try:
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                if self.live:
                    self.live.update(self.draw())
        if self.live:
            self.live.update(self.draw())

    def draw(self) -> Group:
        recent = now_ms() - SHOW_ENDED_MS
        triggers = [
            counted_trigger(trigger, self.catalogue.api_key, now_ms())
            for trigger in self.triggers.values()
            if trigger.status.is_active or (trigger.ended_ms or 0) > recent
        ]
        rounds = [
            self._rounds[key]
            for key in sorted(self._rounds)
            if key.trigger in {trigger.id for trigger in triggers}
        ]
        guardrails: list[RenderableType] = [guardrail_table(rounds), ""] if rounds else []
        return Group(_release_table(triggers), "", *guardrails, _region_table(self._reports))


def _release_table(triggers: list[Trigger]) -> Table:
    table = Table(box=None, pad_edge=False, title="Releases", title_justify="left")
    for column in ("trigger", "status", "phases"):
        table.add_column(column, overflow="fold")
    for trigger in triggers:
        phases = []
        for run in trigger.phases:
            suffix = _waits_for(trigger) if run is trigger.current_run else ""
            phases.append(f"{run.phase.id}: {phase_status(trigger, run)}{suffix}")
        table.add_row(trigger.id, str(trigger.status), "\n".join(phases))
    if not triggers:
        table.add_row("none in progress", "", "")
    return table


def _waits_for(trigger: Trigger) -> str:
    """Return what the current phase waits for: the end of its bake, or what holds it."""
    if trigger.held:
        return f" by {'; '.join(trigger.held)}"
    if trigger.due_ms is None:
        return ""
    return f" {format_duration(max(0, trigger.due_ms - now_ms()) // 1_000 * 1_000)}"


def _region_table(reports: dict[str, AppliedReport]) -> Table:
    table = Table(box=None, pad_edge=False, title="Regions", title_justify="left")
    for column in ("region", "instance", "applied up to", "last change"):
        table.add_column(column)
    for report in sorted(reports.values(), key=lambda r: (r.region, r.instance)):
        change = report.changes[-1] if report.changes else None
        last = f"{change.kind}.{change.name} after {change.after_ms:.0f} ms" if change else ""
        table.add_row(report.region, report.instance, str(report.sequence), last)
    return table
