"""When a freeze is active, and what it forbids: releasing a candidate to more of its scope.

Taking a candidate back releases nothing, so no freeze ever forbids it.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from ..contracts.catalogue import Region
from ..contracts.feature import Trigger, TriggerStatus
from ..contracts.freeze import MINUTES_A_DAY, MINUTES_A_WEEK, Freeze, WeeklyWindow, minute_of_week
from ..contracts.pipeline import Phase, Pipeline
from .segments import Extent, Location, coverage

MINUTE_MS = 60_000
FREEZE = "freeze "
#: A week, and a day for changes of the clocks.
LOOK_AHEAD_MINUTES = MINUTES_A_WEEK + MINUTES_A_DAY


class ActiveFreeze(NamedTuple):
    """A freeze that forbids a change now; as text `freeze weekends (Fri 16:00 to Mon 08:00 UTC)`."""

    name: str
    #: Describes the open window; the text stays the same while it is open.
    window: str

    def __str__(self) -> str:
        return f"{FREEZE}{self.name} ({self.window})"


def is_freeze(hold: str) -> bool:
    """Return whether a hold comes from a freeze: such a phase is not overdue."""
    return hold.startswith(FREEZE)


def describe_windows(freeze: Freeze) -> tuple[str, ...]:
    """Return each window of a freeze as text."""
    return tuple(_window_text(freeze, window) for window in freeze.weekly or (None,))


def open_window(freeze: Freeze, now_ms: int) -> str | None:
    """Return the window that contains `now_ms` as text; None if the freeze is not active.

    A weekly window is open while the local time in its time zone lies in it, also if the clocks change
    and an hour is skipped or repeated.
    """
    now = datetime.fromtimestamp(now_ms / 1_000, freeze.zone)
    if freeze.single:
        start, end = freeze.single
        return _window_text(freeze, None) if start.timestamp() <= now.timestamp() < end.timestamp() else None
    minute = now.weekday() * MINUTES_A_DAY + now.hour * 60 + now.minute
    return next((_window_text(freeze, window) for window in freeze.weekly if _contains(window, minute)), None)


def next_change_ms(freeze: Freeze, now_ms: int) -> int | None:
    """Return when a freeze begins or ends next; None if it never does."""
    if freeze.single:
        edges = [round(edge.timestamp() * 1_000) for edge in freeze.single]
        return next((edge for edge in edges if edge > now_ms), None)
    is_on = open_window(freeze, now_ms) is not None
    first = now_ms - now_ms % MINUTE_MS + MINUTE_MS
    minutes = range(first, first + LOOK_AHEAD_MINUTES * MINUTE_MS, MINUTE_MS)
    return next((minute for minute in minutes if (open_window(freeze, minute) is not None) != is_on), None)


def active_freezes(
    freezes: Collection[Freeze],
    before: Trigger | None,
    after: Trigger,
    regions: Iterable[Region],
    now_ms: int,
) -> tuple[ActiveFreeze, ...]:
    """Return the freezes that forbid a change of a trigger at `now_ms`, by name.

    `before` is None or an earlier trigger if this one has just started.
    """
    if not freezes:
        return ()
    step = _Step.between(before, after)
    if not step.started and not step.completes:
        return ()
    places = list(regions)
    return tuple(
        ActiveFreeze(freeze.name, window)
        for freeze in sorted(freezes, key=lambda freeze: freeze.name)
        if _forbids(freeze, step, places) and (window := open_window(freeze, now_ms))
    )


class _Step(NamedTuple):
    """How much more of its pipeline a candidate is released to."""

    pipeline: Pipeline
    #: The phases that had received it before, and those that newly do.
    reached: tuple[Phase, ...]
    started: tuple[Phase, ...]
    #: Whether it becomes the base everywhere.
    completes: bool

    @classmethod
    def between(cls, before: Trigger | None, after: Trigger) -> "_Step":
        earlier = before if before and before.id == after.id else None
        reached = earlier.released if earlier else ()
        known = {phase.id for phase in reached}
        started = tuple(phase for phase in after.released if phase.id not in known)
        was_completed = earlier is not None and earlier.status is TriggerStatus.COMPLETED
        completes = after.status is TriggerStatus.COMPLETED and not was_completed
        return cls(after.pipeline, reached, started, completes)


def _forbids(freeze: Freeze, step: _Step, regions: Iterable[Region]) -> bool:
    """Return whether a step releases more in the scope of a freeze, active or not."""
    if freeze.pipelines and step.pipeline.id not in freeze.pipelines:
        return False
    inside = [Location.of(region) for region in regions if _is_inside(freeze, region)]
    if any(_covers(phase, freeze, inside) for phase in step.started):
        return True
    if not step.completes:
        return False
    if inside:
        return any(coverage(step.reached, place).extent is not Extent.FULLY for place in inside)
    known = {phase.id for phase in step.reached}
    return any(_covers(phase, freeze, ()) for phase in step.pipeline.phases if phase.id not in known)


def _covers(phase: Phase, freeze: Freeze, inside: Sequence[Location]) -> bool:
    """Return whether a phase covers a part of a freeze, even if a named environment has no region yet."""
    if not freeze.environments and not freeze.regions:
        return True
    if any(coverage([phase], place).extent is not Extent.NONE for place in inside):
        return True
    named = {name for rule in phase.rules for name in rule.environments or ()}
    return not freeze.regions and not named.isdisjoint(freeze.environments)


def _is_inside(freeze: Freeze, region: Region) -> bool:
    return (not freeze.environments or region.environment in freeze.environments) and (
        not freeze.regions or region.name in freeze.regions
    )


def _contains(window: WeeklyWindow, minute: int) -> bool:
    start, end = minute_of_week(window.start), minute_of_week(window.end)
    return start <= minute < end if start < end else minute >= start or minute < end


def _window_text(freeze: Freeze, window: WeeklyWindow | None) -> str:
    """Return a weekly window, or the only one, as text."""
    if window:
        return f"{window.start} to {window.end} {freeze.time_zone}"
    assert freeze.single
    start, end = freeze.single
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {freeze.time_zone}"
