"""`sluiceway watch`: releases and regions, live."""

import asyncio
import contextlib
import json
import os
import sys
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from ..clock import now_ms
from ..contracts import subjects
from ..contracts.applied_reports import AppliedReport
from ..contracts.durations import format_duration
from ..contracts.envelope import rfc3339
from ..contracts.feature import Trigger, TriggerStatus
from ..contracts.identifiers import FeatureKey, feature_of
from ..contracts.measurements import Round, VerdictChanged
from ..errors import Rejected, Unavailable
from ..messaging.feature_view import FeatureEntry
from ..messaging.measurement_store import MeasurementView, StoredRound
from ..messaging.stream_follower import Follower, Record
from ..pipelines.guardrail_schedule import GuardrailKey
from ..trigger_view import describe_override, phase_status
from . import snapshots
from .get import find_trigger
from .guardrail_table import guardrail_table
from .session import EXIT_REFUSED, CliSession

#: How long an ended trigger stays on the screen.
SHOW_ENDED_MS = 60_000
DRAW_EVERY_SECONDS = 0.25

IdArgument = Annotated[str | None, typer.Argument(help="Only this trigger.")]
UntilEnded = Annotated[
    bool, typer.Option("--until-ended", help="End with the named trigger; 0 if it completed.")
]


async def watch(session: CliSession, trigger: IdArgument = None, until_ended: UntilEnded = False) -> None:
    """Show active releases and what the regions have applied, until Ctrl-C."""
    if until_ended and trigger is None:
        raise typer.BadParameter("--until-ended needs the trigger that shall end")
    screen = _Screen(session, trigger)
    if trigger is not None:
        screen.triggers[trigger] = (await find_trigger(session, trigger))[1]
    with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is how one leaves
        await _follow(session, screen, trigger if until_ended else None)
        ended = screen.triggers.get(trigger or "")
        if until_ended and ended and ended.status is not TriggerStatus.COMPLETED:
            raise typer.Exit(EXIT_REFUSED)


async def _follow(session: CliSession, screen: "_Screen", until_ended: str | None) -> None:
    async with AsyncExitStack() as stack:
        view = await stack.enter_async_context(snapshots.feature_view(session.connection))
        for entry in view:
            screen.take(entry)
        view.on_change = screen.take_live
        await stack.enter_async_context(
            Follower(session.connection, subjects.APPLIED_STREAM, [subjects.APPLIED], screen.take_report)
        )
        measurements = MeasurementView(session.connection)
        measurements.on_round = screen.take_round
        await stack.enter_async_context(measurements)
        await stack.enter_async_context(
            Follower(session.connection, subjects.VERDICTS_STREAM, [subjects.VERDICTS], screen.take_verdict)
        )
        if session.console.is_terminal and not session.as_json:
            live = Live(screen.draw(), console=session.console, refresh_per_second=4)
            stack.enter_context(live)
            screen.live = live
        await screen.until_ended(until_ended)


class _Screen:
    """What is known of releases and regions, and where it is shown."""

    def __init__(self, session: CliSession, only: str | None) -> None:
        self.triggers: dict[str, Trigger] = {}
        self.live: Live | None = None
        self._session = session
        self._only = only
        self._rounds: dict[GuardrailKey, Round] = {}
        self._reports: dict[str, AppliedReport] = {}
        self._changed = asyncio.Event()
        self._nobody_reads = False

    def take(self, entry: FeatureEntry) -> None:
        try:
            trigger = entry.event.feature.trigger
        except Rejected:  # somebody else published what is no event; the state before it stays
            return
        if trigger and self._only in (None, trigger.id):
            self.triggers[trigger.id] = trigger
        self._changed.set()

    def take_live(self, entry: FeatureEntry) -> None:
        self.take(entry)
        event, trigger = entry.event, entry.event.feature.trigger
        if self._only and (trigger is None or trigger.id != self._only):
            return
        if self._session.as_json:
            self._say(event.model_dump_json())
        elif self.live is None:
            about = f"{trigger.id} {trigger.status} {event.phase_id or ''}" if trigger else str(entry.key)
            reason = f" ({' '.join(event.reason.split())})" if event.reason else ""
            by = f"by {event.actor_id}{reason}{describe_override(event.overrode)}"
            self._say(f"{rfc3339(event.time_ms)} {event.type} {about} {by}")

    def take_report(self, record: Record) -> None:
        report = AppliedReport.model_validate_json(record.data, extra="ignore")
        self._reports[record.subject] = report
        is_new = now_ms() - report.time_ms < SHOW_ENDED_MS
        if self.live or self._session.as_json or not is_new:
            return
        for change in report.changes:
            key = FeatureKey(change.kind, change.name)
            if self._only is None or key == feature_of(self._only):
                what = f"{key} revision {change.revision} after {change.after_ms:.0f} ms"
                self._say(f"{rfc3339(report.time_ms)} {report.region} applied {what}")

    def take_round(self, stored: StoredRound) -> None:
        round_ = stored.round
        if self._only in (None, round_.trigger):
            self._rounds[GuardrailKey(round_.trigger, round_.phase_id, round_.guardrail)] = round_

    def take_verdict(self, record: Record) -> None:
        change = VerdictChanged.model_validate_json(record.data, extra="ignore")
        is_new = now_ms() - change.time_ms < SHOW_ENDED_MS
        if self.live or not is_new or self._only not in (None, change.trigger):
            return
        if self._session.as_json:
            self._say(json.dumps({"type": "guardrail_verdict", **change.to_jsonable()}))
        else:
            self._say(
                f"{rfc3339(change.time_ms)} guardrail_{change.verdict} {change.trigger} ({change.reason})"
            )

    def _say(self, line: str) -> None:
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._nobody_reads = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end

    async def until_ended(self, trigger: str | None) -> None:
        """Draw until the named trigger has ended; for ever where none is named.

        `Unavailable` where the broker goes away: what is on the screen would no longer be true.
        """
        while not self._nobody_reads and (trigger is None or self.triggers[trigger].status.is_active):
            if not self._session.connection.client.is_connected:
                raise Unavailable(f"the broker at {self._session.settings.nats_url} went away")
            self._changed.clear()
            try:
                async with asyncio.timeout(DRAW_EVERY_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                if self.live:
                    self.live.update(self.draw())
        if self.live:
            self.live.update(self.draw())

    def draw(self) -> Group:
        recent = now_ms() - SHOW_ENDED_MS
        shown = [t for t in self.triggers.values() if t.status.is_active or (t.ended_ms or 0) > recent]
        rounds = [
            self._rounds[key] for key in sorted(self._rounds) if self.triggers.get(key.trigger) in shown
        ]
        guarded: list[RenderableType] = [guardrail_table(rounds), ""] if rounds else []
        return Group(_releases(shown), "", *guarded, _regions(self._reports))


def _releases(triggers: list[Trigger]) -> Table:
    table = Table(box=None, pad_edge=False, title="Releases", title_justify="left")
    for column in ("trigger", "status", "phases"):
        table.add_column(column, overflow="fold")
    for trigger in triggers:
        phases = []
        for run in trigger.phases:
            more = _until(trigger) if run is trigger.current_run else ""
            phases.append(f"{run.phase.id}: {phase_status(trigger, run)}{more}")
        table.add_row(trigger.id, str(trigger.status), "\n".join(phases))
    if not triggers:
        table.add_row("none under way", "", "")
    return table


def _until(trigger: Trigger) -> str:
    """Return what the current phase waits for: the end of its bake, or whatever holds it."""
    if trigger.held:
        return f" by {'; '.join(trigger.held)}"
    if trigger.due_ms is None:
        return ""
    return f" {format_duration(max(0, trigger.due_ms - now_ms()) // 1_000 * 1_000)}"


def _regions(reports: dict[str, AppliedReport]) -> Table:
    table = Table(box=None, pad_edge=False, title="Regions", title_justify="left")
    for column in ("region", "instance", "applied up to", "last change"):
        table.add_column(column)
    for report in sorted(reports.values(), key=lambda r: (r.region, r.instance)):
        change = report.changes[-1] if report.changes else None
        last = f"{change.kind}.{change.name} after {change.after_ms:.0f} ms" if change else ""
        table.add_row(report.region, report.instance, str(report.sequence), last)
    return table
