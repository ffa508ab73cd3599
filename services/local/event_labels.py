"""The labels of a release's events, and their lanes above its timeline."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sluiceway.contracts.events import EventType

from .demo_record import RecordedRelease

#: Between a label's line and its text, and between two labels in a lane, in points.
GAP, SPACING = 10, 16

#: The events that get a label: the text, whether it names the actor, marker and colour (of `chart_style`).
LABELLED = {
    EventType.TRIGGER_STARTED: ("started", True, "o", "progress"),
    EventType.PHASE_APPROVED: ("approved", True, "o", "progress"),
    EventType.PHASE_SKIPPED: ("skipped", True, "o", "progress"),
    EventType.PHASE_HELD: ("held", False, "o", "failure"),
    EventType.TRIGGER_PAUSED: ("paused", True, "o", "failure"),
    EventType.TRIGGER_UNPAUSED: ("unpaused", True, "o", "progress"),
    EventType.TRIGGER_COMPLETED: ("completed", False, "s", "success"),
    EventType.TRIGGER_ROLLED_OUT: ("rolled out", True, "s", "success"),
    EventType.TRIGGER_ABORTED: ("aborted", True, "D", "failure"),
    EventType.TRIGGER_ROLLED_BACK: ("rolled back", True, "D", "failure"),
}


@dataclass(frozen=True)
class EventLabel:
    """A marker at the time of an event, and the text beside it."""

    time_ms: float
    text: str
    marker: str
    colour: str


@dataclass(frozen=True)
class Placement:
    """Where a label is drawn: lane 0 is the highest; `left` and `right` are in points."""

    lane: int
    is_left_of_line: bool
    left: float
    right: float


def event_labels(release: RecordedRelease) -> list[EventLabel]:
    """Return the labels of a release, and that of its alert, by time."""
    labels = []
    for event in release.events:
        if event.type in LABELLED:
            verb, names_actor, marker, colour = LABELLED[event.type]
            text = f"{verb} by {event.actor}" if names_actor else verb
            labels.append(EventLabel(event.time_ms, text, marker, colour))
    if release.alert:
        labels.append(EventLabel(release.alert.time_ms, f"alert {release.alert.name}", "^", "failure"))
    return sorted(labels, key=lambda label: label.time_ms)


def place_labels(
    labels: Sequence[EventLabel],
    x_of: Callable[[float], float],
    width_of: Callable[[str], float],
    right_edge: float,
) -> list[Placement]:
    """Place each label in the highest lane in which it overlaps no other.

    `x_of` maps a time to points from the left edge, and `width_of` a text to its width in points.
    """
    placements: list[Placement] = []
    for label in labels:
        x, width = x_of(label.time_ms), width_of(label.text)
        is_left = x + GAP + width > right_edge
        left, right = (x - GAP - width, x + GAP) if is_left else (x - GAP, x + GAP + width)
        taken = {p.lane for p in placements if left < p.right + SPACING and p.left < right + SPACING}
        lane = next(lane for lane in range(len(labels)) if lane not in taken)
        placements.append(Placement(lane, is_left, left, right))
    return placements
