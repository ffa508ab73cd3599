"""Draws how long each region took to apply each event: one dot each, on a logarithmic axis."""

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from sluiceway.contracts.feature import TriggerStatus

from .chart_style import COLOURS, LEFT, MARGIN, WIDTH, add_title, name_rows
from .demo_record import RecordedRun

ALL_REGIONS = "all regions"
#: The share of the width for dots, and the right edges of the columns after them.
DOTS_WIDTH, COLUMNS = 0.73, {"events": 0.81, "p50": 0.905, "max": 0.99}
#: Dots within this ratio would hide each other; they are drawn so many rows apart.
NEAR_RATIO, APART = 1.04, 0.36
#: Status after an event → what its dots are called, their marker and colour.
EVENT_KINDS = {
    TriggerStatus.COMPLETED: ("completion", "s", "success"),
    TriggerStatus.ROLLED_BACK: ("rollback", "D", "failure"),
    TriggerStatus.ABORTED: ("rollback", "D", "failure"),
}
PHASE_START = ("phase starts", "o", "progress")


class Application(NamedTuple):
    """One event applied in one region."""

    region: str
    after_ms: float
    kind: tuple[str, str, str]


def applications(run: RecordedRun) -> Iterator[Application]:
    """Yield every application of every event."""
    for release in run.releases:
        for event in release.events:
            kind = EVENT_KINDS.get(event.status, PHASE_START)
            for region, after_ms in event.applied.items():
                yield Application(region, after_ms, kind)


def draw_propagation(axes: Axes, run: RecordedRun) -> None:
    """Draw a row of dots per region, and the number, median and maximum beside it."""
    dots = list(applications(run))
    rows = (*run.regions_as_reached, ALL_REGIONS)
    low, high = _limits([dot.after_ms for dot in dots])
    axes.set_xscale("log")
    axes.set_xlim(low, low * (high / low) ** (1 / DOTS_WIDTH))
    axes.set_ylim(len(rows) - 0.5, -1.5)
    ticks = [tick for tick in LogLocator(subs=(1, 2, 5)).tick_values(low, high) if low <= tick <= high]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g} ms"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.vlines(ticks, -0.5, len(rows) - 0.5, color=COLOURS["grid"], linewidth=0.8, zorder=0.6)
    name_rows(axes, rows)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    add_title(axes, "Propagation: from an event to its application in a region")
    for name, x in COLUMNS.items():
        _write(axes, name, x, -0.95, color=COLOURS["muted"])
    for row, region in enumerate(rows):
        if row % 2 == 0:
            left = (MARGIN - 8 - LEFT) / (WIDTH - MARGIN - LEFT)
            axes.axhspan(row - 0.5, row + 0.5, left, color=COLOURS["even"], lw=0, clip_on=False, zorder=0.5)
        _draw_row(axes, row, [dot for dot in dots if region in (dot.region, ALL_REGIONS)])
    _draw_legend(axes)


def _limits(values: list[float]) -> tuple[float, float]:
    """Return 1 ms, or a power of ten below it, and the next of 1, 2, 5, 10, 20 … that no value exceeds."""
    low = next(power for power in (1.0, 0.1, 0.01) if power <= max(min(values, default=1.0), 0.01))
    longest = max(*values, 10 * low) if values else 10 * low
    return low, next(high for n in range(12) for d in (1, 2, 5) if (high := low * d * 10.0**n) >= longest)


def _draw_row(axes: Axes, row: int, dots: list[Application]) -> None:
    """Draw the dots of a region, or of all regions only their range, with the median and the figures."""
    values = [dot.after_ms for dot in dots]
    if not values:
        return
    if axes.get_yticklabels()[row].get_text() == ALL_REGIONS:
        axes.plot(
            [min(values), max(values)], [row, row], color=COLOURS["range"], linewidth=8,
            solid_capstyle="round", label="min to max",
        )  # fmt: skip
    else:
        _draw_dots(axes, row, dots)
    axes.plot(median(values), row, "|", color=COLOURS["text"], ms=24, mew=2, zorder=1.5, label="p50")
    figures = (f"{len(values)}", f"{median(values):.3g} ms", f"{max(values):.3g} ms")
    for x, text in zip(COLUMNS.values(), figures, strict=True):
        _write(axes, text, x, row, weight="bold")


def _draw_dots(axes: Axes, row: int, dots: list[Application]) -> None:
    crowds: list[list[Application]] = []
    for dot in sorted(dots, key=lambda dot: (dot.after_ms, dot.kind)):
        if crowds and dot.after_ms < crowds[-1][0].after_ms * NEAR_RATIO:
            crowds[-1].append(dot)
        else:
            crowds.append([dot])
    for crowd in crowds:
        apart = min(APART, 0.7 / max(len(crowd) - 1, 1))
        for number, dot in enumerate(crowd):
            name, marker, colour = dot.kind
            axes.plot(
                max(dot.after_ms, axes.get_xlim()[0]), row + apart * (number - (len(crowd) - 1) / 2), marker,
                color=COLOURS[colour], markersize=8, markeredgecolor=COLOURS["page"], label=name,
            )  # fmt: skip


def _draw_legend(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    left = (MARGIN - LEFT) / (WIDTH - MARGIN - LEFT)
    axes.legend(
        unique.values(), unique, loc="center left", bbox_to_anchor=(left, -0.95),
        bbox_transform=axes.get_yaxis_transform(), ncols=len(unique), columnspacing=1.5, handlelength=1.4,
    )  # fmt: skip


def _write(axes: Axes, text: str, x: float, row: float, **properties: str) -> None:
    """Write a text in a row, its right edge at the share `x` of the width."""
    axes.text(x, row, text, transform=axes.get_yaxis_transform(), ha="right", va="center", **properties)  # type: ignore[arg-type]
