"""The last milliseconds of a release that was taken back, region by region."""

from collections.abc import Sequence

from ..demo_record import Alarm, RecordedRelease
from .drawing import RIGHT, ROW, Scale, box, group, line, polygon, text, ticks

#: Width of all of it, with the gap to the release at its left.
SPACE = 250
GAP = 44
#: Room for "27 ms" right of a bar.
LABEL = 60
TICKS_MAX = 2


def enlarged(
    release: RecordedRelease, alarm: Alarm, regions: Sequence[str], end: float, strip: float, rows: float
) -> str:
    """Draw what followed the alert, beside the rows of the release that ends at x = `end`."""
    left, bottom = RIGHT - SPACE + GAP, rows + ROW * len(regions)
    high = max(release.ends_ms - alarm.time_ms, 1.0)
    scale = Scale(0, high, left + 10, RIGHT - LABEL)
    decided = release.last.time_ms - alarm.time_ms
    return group(
        "enlarged",
        polygon("lens", (end + 2, rows), (left, strip), (left, bottom), (end + 2, bottom)),
        box(left, strip, RIGHT, bottom, "even"),
        text(left + 10, strip + 17, "The rollback, enlarged", "strong"),
        text(left + 10, strip + 33, f"decided {decided:.0f} ms after the alert", "quiet"),
        *(
            _reverted(release, alarm, region, scale, rows + ROW * (number + 0.5))
            for number, region in enumerate(regions)
        ),
        line(scale(0), rows, scale(0), bottom, "bad"),
        line(scale(decided), rows, scale(decided), bottom, "decided"),
        _axis(high, scale, bottom),
    )


def _reverted(release: RecordedRelease, alarm: Alarm, region: str, scale: Scale, middle: float) -> str:
    held = release.held(region)
    if held is None:
        return ""
    begins, ends = (scale(time_ms - alarm.time_ms) for time_ms in held)
    words = f"{held[1] - alarm.time_ms:.0f} ms"
    bar = box(begins, middle - 7, ends, middle + 7, "bar held", 2)
    return bar + text(ends + 7, middle + 4, words, "strong number")


def _axis(high: float, scale: Scale, bottom: float) -> str:
    parts = []
    for milliseconds in ticks(high, TICKS_MAX):
        x = scale(milliseconds)
        parts.append(line(x, bottom, x, bottom + 5, "grid"))
        parts.append(text(x, bottom + 18, f"{milliseconds:g} ms", "quiet number", "middle"))
    return group("axis", *parts)
