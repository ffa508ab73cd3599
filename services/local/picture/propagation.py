"""How long each region took to apply each event, one dot for each."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from sluiceway.contracts.feature import TriggerStatus

from ..demo_record import RecordedRun
from .drawing import LEFT, MARGIN, RIGHT, ROW, Block, Scale, box, group, line, log_ticks, mark, text, width_of

#: Right edges of the columns beside the plot.
COLUMNS = {"events": RIGHT - 132, "p50": RIGHT - 68, "max": RIGHT - 8}
PLOT_RIGHT = RIGHT - 196
HEADING = 72
DOT = 4.5
ALL = "all regions"

STARTS = ("phase starts", "circle", "go")
KINDS = {
    TriggerStatus.COMPLETED: ("completion", "square", "good"),
    TriggerStatus.ROLLED_BACK: ("rollback", "diamond", "bad"),
    TriggerStatus.ABORTED: ("rollback", "diamond", "bad"),
}


@dataclass(frozen=True)
class Dot:
    """One event applied in one region."""

    region: str
    after_ms: float
    kind: tuple[str, str, str]


def propagation(run: RecordedRun, top: float) -> Block:
    """Draw the dots of all releases, a row per region, and p50 and max beside them."""
    dots = list(_dots(run))
    scale = _scale([dot.after_ms for dot in dots])
    rows = top + HEADING
    bottom = rows + ROW * (len(run.regions) + 1)
    parts = [
        text(MARGIN, top + 16, "Propagation", "heading"),
        text(MARGIN, top + 38, "from an event to its application in a region, log scale", "quiet"),
        *_legend(dots, rows - 10),
        *(text(x, rows - 10, name, "quiet", "end") for name, x in COLUMNS.items()),
    ]
    for number in range(0, len(run.regions) + 1, 2):
        parts.append(box(MARGIN - 8, rows + ROW * number, RIGHT, rows + ROW * (number + 1), "even"))
    parts += _grid(scale, rows, bottom)
    for number, region in enumerate((*run.regions, ALL)):
        chosen = [dot for dot in dots if region in (dot.region, ALL)]
        parts.append(_row(region, chosen, scale, rows + ROW * number))
    return Block(group("propagation", *parts), bottom + 26)


def _dots(run: RecordedRun) -> Iterator[Dot]:
    for release in run.releases:
        for step in release.steps:
            kind = KINDS.get(step.status, STARTS)
            for region, after_ms in step.applied.items():
                yield Dot(region, after_ms, kind)


def _scale(values: list[float]) -> Scale:
    """Return a scale from 1 ms, or a power of ten below, to the next round number."""
    low = next(p for p in (1.0, 0.1, 0.01) if p <= max(min(values, default=1.0), 0.01))
    high = max(*values, 10 * low) if values else 10 * low
    return Scale(low, next(t for t in log_ticks(low, 100 * high) if t >= high), LEFT, PLOT_RIGHT, True)


def _legend(dots: list[Dot], y: float) -> Iterator[str]:
    x = float(MARGIN)
    for words, shape, colour in sorted({dot.kind for dot in dots}):
        yield mark(shape, x + DOT, y - 4, colour, DOT)
        yield text(x + 16, y, words, "ink")
        x += 16 + width_of(words) + 20
    yield line(x + 2, y - 11, x + 2, y + 2, "median")
    yield text(x + 12, y, "p50", "ink")
    yield box(x + 56, y - 8, x + 84, y, "range", 4)
    yield text(x + 92, y, "min to max", "ink")


def _grid(scale: Scale, rows: float, bottom: float) -> Iterator[str]:
    for value in log_ticks(scale.low, scale.high):
        x = scale(value)
        yield line(x, rows, x, bottom + 5, "grid")
        yield text(x, bottom + 18, f"{value:g} ms", "quiet number", "middle")


def _row(name: str, dots: list[Dot], scale: Scale, top: float) -> str:
    middle = top + ROW / 2
    values = [dot.after_ms for dot in dots]
    parts = [text(MARGIN, middle + 4, name, "strong" if name == ALL else "ink")]
    if values:
        x = scale(median(values))
        parts.append(_range(values, scale, middle) if name == ALL else "")
        parts.append(line(x, middle - 12, x, middle + 12, "median"))
        parts += _swarm(dots, scale, middle) if name != ALL else ()
        for what, words in _figures(values).items():
            parts.append(text(COLUMNS[what], middle + 4, words, "strong number", "end"))
    return group("row", *parts)


def _figures(values: list[float]) -> dict[str, str]:
    return {
        "events": str(len(values)),
        "p50": f"{median(values):.3g} ms",
        "max": f"{max(values):.3g} ms",
    }


def _swarm(dots: list[Dot], scale: Scale, middle: float) -> Iterator[str]:
    """Draw dots that would hide each other above one another."""
    crowds: list[list[Dot]] = []
    for dot in sorted(dots, key=lambda dot: (dot.after_ms, dot.kind)):
        if crowds and scale(dot.after_ms) - scale(crowds[-1][0].after_ms) < 2 * DOT:
            crowds[-1].append(dot)
        else:
            crowds.append([dot])
    for crowd in crowds:
        apart = min(2 * DOT, (ROW - 2 * DOT) / max(len(crowd) - 1, 1))
        for number, dot in enumerate(crowd):
            _, shape, colour = dot.kind
            y = middle + apart * (number - (len(crowd) - 1) / 2)
            yield mark(shape, scale(dot.after_ms), y, f"dot {colour}", DOT)


def _range(values: list[float], scale: Scale, middle: float) -> str:
    return box(scale(min(values)), middle - 4, scale(max(values)), middle + 4, "range", 4)
