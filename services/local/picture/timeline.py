"""One release: its phases behind, who served the candidate in front, and what happened on top."""

from collections.abc import Sequence
from dataclasses import dataclass

from sluiceway.contracts.feature import TriggerStatus

from ..demo_record import PhaseSpan, RecordedRelease
from .drawing import (
    LEFT,
    MARGIN,
    MONOSPACED,
    RIGHT,
    ROW,
    STRONG,
    Block,
    Scale,
    box,
    group,
    line,
    text,
    ticks,
    width_of,
)
from .flags import LANE, cloth, flags_of, places_of, pole
from .rollback import SPACE as ROLLBACK_SPACE
from .rollback import enlarged

HEADING = 38
STRIP = 40
#: Room right of the end of a release.
TAIL = 12
TICKS_MAX = 12

OUTCOMES = {
    TriggerStatus.COMPLETED: "good",
    TriggerStatus.ROLLED_BACK: "bad",
    TriggerStatus.ABORTED: "bad",
}
STATES = {
    TriggerStatus.IN_PROGRESS: "bakes",
    TriggerStatus.WAITING_FOR_REVIEW: "review",
    TriggerStatus.PAUSED: "paused",
}


@dataclass(frozen=True)
class Frame:
    """Where a release is drawn."""

    scale: Scale
    strip: float
    rows: float
    bottom: float


def pixels_per_ms(releases: Sequence[RecordedRelease]) -> float:
    """Return the scale at which each release fits, with room for what is enlarged beside it."""
    widths = (RIGHT - LEFT - TAIL - (ROLLBACK_SPACE if r.alarm else 0) for r in releases)
    return min(w / r.duration_ms for w, r in zip(widths, releases, strict=True))


def timeline(release: RecordedRelease, regions: Sequence[str], top: float, scale: float) -> Block:
    """Draw a release below `top`, at so many pixels per millisecond."""
    end = LEFT + release.duration_ms * scale
    time = Scale(release.begins_ms, release.begins_ms + release.duration_ms, LEFT, end)
    flags = flags_of(release)
    places = places_of(flags, time)
    strip = top + HEADING + LANE * (1 + max((place.lane for place in places), default=0))
    rows = strip + STRIP
    frame = Frame(time, strip, rows, rows + ROW * len(regions))
    placed = list(zip(flags, places, strict=True))
    parts = [
        _heading(release, regions, top),
        _phases(release, frame),
        *(pole(flag, place, top + HEADING, frame.bottom) for flag, place in placed),
        _rows(release, regions, frame),
        _axis(release, frame),
        *(cloth(flag, place, top + HEADING) for flag, place in placed),
    ]
    if release.alarm:
        parts.append(enlarged(release, release.alarm, regions, end, strip, rows))
    return Block(group("release", *parts), frame.bottom + 26)


def _heading(release: RecordedRelease, regions: Sequence[str], top: float) -> str:
    colour = OUTCOMES.get(release.last.status, "go")
    outcome = release.last.status.lower().replace("_", " ")
    pill = MARGIN + width_of(release.trigger, 16, MONOSPACED) + 14
    width = width_of(outcome, letter=STRONG) + 20
    reached = sum(release.held(region) is not None for region in regions)
    summary = f"{release.duration_ms / 1000:.1f} s, {reached} of {len(regions)} regions"
    if release.rollback_ms is not None:
        summary = f"{release.rollback_ms:.0f} ms from the alert to the last region"
    return group(
        "heading-line",
        text(MARGIN, top + 16, release.trigger, "heading code"),
        box(pill, top, pill + width, top + 22, f"pill {colour}", 11),
        text(pill + width / 2, top + 15, outcome, f"strong {colour}", "middle"),
        text(RIGHT, top + 16, summary, f"strong {colour}", "end"),
    )


def _phases(release: RecordedRelease, frame: Frame) -> str:
    order = list(dict.fromkeys(span.phase for span in release.spans))
    return group("phases", *(_phase(span, order.index(span.phase), frame) for span in release.spans))


def _phase(span: PhaseSpan, number: int, frame: Frame) -> str:
    left, right = frame.scale(span.begins_ms), frame.scale(span.ends_ms)
    waits = span.status is not TriggerStatus.IN_PROGRESS
    ground = "wait" if waits else ("even", "odd")[number % 2]
    parts = [box(left, frame.strip, right, frame.bottom, f"phase {ground}")]
    if waits:
        parts.append(box(left, frame.rows, right, frame.bottom, "striped"))
    state = f"{STATES.get(span.status, '')} {(span.ends_ms - span.begins_ms) / 1000:.1f} s"
    for words, y, class_ in ((span.phase, 17, "ink"), (state, 33, "quiet")):
        if width_of(words) + 8 <= right - left:
            parts.append(text(left + 8, frame.strip + y, words, class_))
    return "".join(parts)


def _rows(release: RecordedRelease, regions: Sequence[str], frame: Frame) -> str:
    return group(
        "rows",
        *(_row(release, region, frame, frame.rows + ROW * number) for number, region in enumerate(regions)),
    )


def _row(release: RecordedRelease, region: str, frame: Frame, top: float) -> str:
    middle = top + ROW / 2
    name = text(MARGIN, middle + 4, region, "ink")
    held = release.held(region)
    if held is None:
        return name + text(LEFT + 8, middle + 4, "never received the candidate", "quiet never")
    begins, ends = map(frame.scale, held)
    before = line(LEFT, middle, begins, middle, "grid")
    return name + before + box(begins, middle - 7, ends, middle + 7, "bar held", 2)


def _axis(release: RecordedRelease, frame: Frame) -> str:
    y = frame.bottom + 18
    parts = [text(MARGIN, y, "since its start", "quiet")]
    for seconds in ticks(release.duration_ms / 1000, TICKS_MAX):
        x = frame.scale(release.begins_ms + seconds * 1000)
        parts.append(line(x, frame.bottom, x, frame.bottom + 5, "grid"))
        parts.append(text(x, y, f"{seconds:g} s", "quiet number", "middle"))
    return group("axis", *parts)
