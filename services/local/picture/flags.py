"""What happened during a release: a mark on a pole, with words that hit nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sluiceway.contracts.events import EventType

from ..demo_record import RecordedRelease
from .drawing import LEFT, RIGHT, Scale, group, line, mark, text, width_of

LANE = 20
#: From the middle of a mark to its words, and to its edge.
GAP, MARK = 10, 6

#: What is marked: its words, whether they say by whom, its shape and its colour.
SHOWN = {
    EventType.TRIGGER_STARTED: ("started", True, "circle", "go"),
    EventType.PHASE_APPROVED: ("approved", True, "circle", "go"),
    EventType.PHASE_SKIPPED: ("skipped", True, "circle", "go"),
    EventType.PHASE_HELD: ("held", False, "circle", "bad"),
    EventType.TRIGGER_PAUSED: ("paused", True, "circle", "bad"),
    EventType.TRIGGER_UNPAUSED: ("continued", True, "circle", "go"),
    EventType.TRIGGER_COMPLETED: ("completed", False, "square", "good"),
    EventType.TRIGGER_ROLLED_OUT: ("rolled out", True, "square", "good"),
    EventType.TRIGGER_ABORTED: ("aborted", True, "diamond", "bad"),
    EventType.TRIGGER_ROLLED_BACK: ("rolled back", True, "diamond", "bad"),
}


@dataclass(frozen=True)
class Flag:
    """Something that happened, with the mark that stands for it."""

    time_ms: float
    words: str
    shape: str
    colour: str


@dataclass(frozen=True)
class Place:
    """Where a flag stands: its pole at `x`, its words from `left` to `right`; lane 0 is the highest."""

    lane: int
    x: float
    left: float
    right: float

    @property
    def is_left_of_pole(self) -> bool:
        return self.right < self.x

    def hits(self, other: "Place") -> bool:
        """Say whether one's words or mark hide the other's, or a pole crosses words below."""
        if self.lane == other.lane:
            (begins, ends), (other_begins, other_ends) = self._extent, other._extent
            return begins < other_ends and other_begins < ends
        upper, lower = (self, other) if self.lane < other.lane else (other, self)
        return lower.left <= upper.x <= lower.right

    @property
    def _extent(self) -> tuple[float, float]:
        return min(self.left, self.x - MARK), max(self.right, self.x + MARK)


def flags_of(release: RecordedRelease) -> list[Flag]:
    """Return what is worth a mark, in the order of time."""
    flags = []
    for step in release.steps:
        if shown := SHOWN.get(step.type):
            verb, by_whom, shape, colour = shown
            words = f"{verb} by {step.actor}" if by_whom else verb
            flags.append(Flag(step.time_ms, words, shape, colour))
    if release.alarm:
        flags.append(Flag(release.alarm.time_ms, f"alert {release.alarm.name}", "triangle", "bad"))
    return sorted(flags, key=lambda flag: flag.time_ms)


def places_of(flags: Sequence[Flag], scale: Scale) -> list[Place]:
    """Give each flag the highest lane, and the side of its pole, where it hits nothing."""
    places: list[Place] = []
    for flag in flags:
        x, width = scale(flag.time_ms), width_of(flag.words)
        right, left = Place(0, x, x + GAP, x + GAP + width), Place(0, x, x - GAP - width, x - GAP)
        sides = [side for side in (right, left) if side.left >= LEFT and side.right <= RIGHT] or [right]
        candidates = (replace(side, lane=lane) for lane in range(len(flags)) for side in sides)
        free = (place for place in candidates if not any(map(place.hits, places)))
        places.append(next(free, replace(sides[0], lane=len(places))))
    return places


def pole(flag: Flag, place: Place, top: float, bottom: float) -> str:
    """Draw a pole, from its lane below `top` down to `bottom`."""
    return line(place.x, _middle(place, top), place.x, bottom, flag.colour)


def cloth(flag: Flag, place: Place, top: float) -> str:
    """Draw the mark and the words of a flag."""
    y = _middle(place, top)
    x, anchor = (place.right, "end") if place.is_left_of_pole else (place.left, "start")
    words = text(x, y + 4, flag.words, flag.colour, anchor)
    return group("flag", mark(flag.shape, place.x, y, flag.colour), words)


def _middle(place: Place, top: float) -> float:
    return top + LANE * place.lane + MARK
