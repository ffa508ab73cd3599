"""`sluiceway watch`: releases and regions, live."""

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from ..clock import now_ms
from ..contracts import subjects
from ..contracts.applied import AppliedReport
from ..contracts.durations import spoken
from ..contracts.envelope import rfc3339
from ..contracts.feature import Trigger, TriggerStatus
from ..messaging.feature_view import Entry
from ..messaging.following import Follower, Record
from . import reading
from .get import find_trigger
from .session import EXIT_REFUSED, Session
from .views import phase_status

#: How long an ended trigger stays on the screen.
SHOW_ENDED_MS = 60_000
DRAW_EVERY_SECONDS = 0.25

IdArgument = Annotated[str | None, typer.Argument(help="Only this trigger.")]
UntilEnded = Annotated[
    bool, typer.Option("--until-ended", help="End with the named trigger; 0 if it completed.")
]


async def watch(session: Session, trigger: IdArgument = None, until_ended: UntilEnded = False) -> None:
    """Show active releases and what the regions have applied, until Ctrl-C."""
    if trigger is not None:
        await find_trigger(session, trigger)
    screen = _Screen(session, trigger)
    async with AsyncExitStack() as stack:
        view = await stack.enter_async_context(reading.feature_view(session.connection))
        for entry in view:
            screen.take(entry)
        view.on_change = screen.take_live
        await stack.enter_async_context(
            Follower(session.connection, subjects.APPLIED_STREAM, [subjects.APPLIED], screen.take_report)
        )
        if session.console.is_terminal and not session.as_json:
            live = Live(screen.draw(), console=session.console, refresh_per_second=4)
            stack.enter_context(live)
            screen.live = live
        await screen.until_ended(trigger if until_ended else None)
    ended = screen.triggers.get(trigger or "")
    if until_ended and ended and ended.status is not TriggerStatus.COMPLETED:
        raise typer.Exit(EXIT_REFUSED)


class _Screen:
    def __init__(self, session: Session, only: str | None) -> None:
        self.triggers: dict[str, Trigger] = {}
        self.live: Live | None = None
        self._session = session
        self._only = only
        self._reports: dict[str, AppliedReport] = {}
        self._changed = asyncio.Event()

    def take(self, entry: Entry) -> None:
        trigger = entry.event.feature.trigger
        if trigger and self._only in (None, trigger.id):
            self.triggers[trigger.id] = trigger
        self._changed.set()

    def take_live(self, entry: Entry) -> None:
        self.take(entry)
        event, trigger = entry.event, entry.event.feature.trigger
        if self._only and (trigger is None or trigger.id != self._only):
            return
        if self._session.as_json:
            sys.stdout.write(event.model_dump_json() + "\n")
            sys.stdout.flush()
        elif self.live is None:
            about = f"{trigger.id} {trigger.status} {event.phase_id or ''}" if trigger else str(entry.key)
            reason = f" ({event.reason})" if event.reason else ""
            sys.stdout.write(f"{rfc3339(event.time_ms)} {event.type} {about} by {event.actor_id}{reason}\n")
            sys.stdout.flush()

    def take_report(self, record: Record) -> None:
        report = AppliedReport.model_validate_json(record.data, extra="ignore")
        self._reports[record.subject] = report
        if self.live is None and not self._session.as_json:
            for change in report.changes if now_ms() - report.time_ms < SHOW_ENDED_MS else ():
                what = (
                    f"{change.kind}.{change.name} revision {change.revision} after {change.after_ms:.0f} ms"
                )
                sys.stdout.write(f"{rfc3339(report.time_ms)} {report.region} applied {what}\n")
                sys.stdout.flush()

    async def until_ended(self, trigger: str | None) -> None:
        """Draw until the named trigger has ended; for ever where none is named."""
        while trigger is None or self.triggers[trigger].status.is_active:
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
        return Group(_releases(shown), "", _regions(self._reports))


def _releases(triggers: list[Trigger]) -> Table:
    table = Table(box=None, pad_edge=False, title="Releases", title_justify="left")
    for column in ("trigger", "status", "phases"):
        table.add_column(column, overflow="fold")
    for trigger in triggers:
        phases = []
        for run in trigger.phases:
            left = ""
            if run is trigger.current_run and trigger.due_ms:
                left = f" {spoken(max(0, trigger.due_ms - now_ms()) // 1_000 * 1_000)}"
            phases.append(f"{run.phase.id}: {phase_status(trigger, run)}{left}")
        table.add_row(trigger.id, str(trigger.status), "\n".join(phases))
    if not triggers:
        table.add_row("none under way", "", "")
    return table


def _regions(reports: dict[str, AppliedReport]) -> Table:
    table = Table(box=None, pad_edge=False, title="Regions", title_justify="left")
    for column in ("region", "instance", "applied up to", "last change"):
        table.add_column(column)
    for report in sorted(reports.values(), key=lambda r: (r.region, r.instance)):
        change = report.changes[-1] if report.changes else None
        last = f"{change.kind}.{change.name} after {change.after_ms:.0f} ms" if change else ""
        table.add_row(report.region, report.instance, str(report.sequence), last)
    return table
