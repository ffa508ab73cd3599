"""Draws a recorded run of the demo as one SVG file: a timeline for each release, and the propagation."""

from datetime import UTC, datetime
from html import escape
from io import StringIO
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sluiceway.contracts.feature import TriggerStatus

from .chart_style import (
    COLOURS,
    LEFT,
    MARGIN,
    RC_PARAMS,
    ROW,
    TEXT_SIZE,
    WIDTH,
    add_title,
    name_rows,
    text_width,
)
from .demo_record import PhaseSpan, RecordedAlert, RecordedRelease, RecordedRun
from .event_labels import EventLabel, Placement, event_labels, place_labels
from .propagation_chart import draw_propagation

TITLE = "What a release looks like"
PLOT_WIDTH = WIDTH - MARGIN - LEFT
#: In rows: the head and foot of the page, the space between plots, the names of the phases, a lane of labels.
HEAD, FOOT, SPACE, PHASE_NAMES, LANE = 5.4, 3.2, 3.4, 1.45, 0.72
#: The share of the width that an enlarged rollback takes, and the gap to its left.
ENLARGED, ENLARGED_GAP = 0.29, 0.06
OUTCOME_COLOURS = {
    TriggerStatus.COMPLETED: "success",
    TriggerStatus.ROLLED_BACK: "failure",
    TriggerStatus.ABORTED: "failure",
}
SPAN_NAMES = {
    TriggerStatus.IN_PROGRESS: "bakes",
    TriggerStatus.WAITING_FOR_REVIEW: "review",
    TriggerStatus.PAUSED: "paused",
}
FOOTNOTE = (
    "Recorded {date} by “make dashboards”: a NATS broker, the scheduler, publisher and monitor, and one edge"
    " per region,\neach in its own process on one machine. The demo approves the phase and fires the alert."
)


def draw_run(run: RecordedRun) -> str:
    """Return a chart of a run as the text of an SVG file; the same run gives the same text."""
    with style.context(RC_PARAMS):
        file = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        run_figure(run).savefig(file, format="svg", metadata={"Title": TITLE, **nothing})
    described = f"</title>\n <desc>{escape(_description(run))}</desc>"
    return file.getvalue().replace("</title>", described, 1).replace("<svg ", '<svg role="img" ', 1)


def run_figure(run: RecordedRun) -> Figure:
    """Return the chart as a figure; call it with `RC_PARAMS` set."""
    limit_ms = max(map(_needed_ms, run.releases))
    timelines = [Timeline(release, run.regions_as_reached, limit_ms) for release in run.releases]
    heights = [*(timeline.height for timeline in timelines), len(run.regions) + 2]
    rows = HEAD + sum(heights) + SPACE * len(timelines) + FOOT
    figure = Figure(figsize=(WIDTH / 72, round(rows * ROW) / 72), dpi=72)
    plots = figure.subplots(
        len(heights),
        height_ratios=heights,
        gridspec_kw={
            "left": LEFT / WIDTH, "right": 1 - MARGIN / WIDTH, "top": 1 - HEAD / rows, "bottom": FOOT / rows,
            "hspace": SPACE * len(heights) / sum(heights),
        },
    )  # fmt: skip
    for axes, timeline in zip(plots, timelines, strict=False):
        timeline.draw(axes)
    draw_propagation(plots[-1], run)
    _draw_head_and_foot(figure, run)
    return figure


class Timeline:
    """One release: its phases behind, which regions served the candidate in front, its events above.

    The x axis is in seconds since the start of the release; y is in rows, and row 0 is the first region.
    """

    def __init__(self, release: RecordedRelease, regions: tuple[str, ...], limit_ms: float) -> None:
        self._release = release
        self._regions = regions
        self._limit = limit_ms / 1000
        self._labels = event_labels(release)
        self._placements = place_labels(
            self._labels,
            lambda ms: self._seconds(ms) * PLOT_WIDTH / self._limit,
            text_width,
            PLOT_WIDTH,
        )
        self._lanes = 1 + max((placement.lane for placement in self._placements), default=0)
        self._bottom = len(regions) - 0.5
        self._phase_top = -0.5 - PHASE_NAMES

    @property
    def height(self) -> float:
        """In rows."""
        return self._bottom - self._phase_top + LANE * self._lanes

    def draw(self, axes: Axes) -> None:
        axes.set_xlim(0, self._limit)
        axes.set_ylim(self._bottom, self._bottom - self.height)
        name_rows(axes, self._regions)
        self._draw_title(axes)
        for span in self._release.phase_spans:
            self._draw_phase(axes, span)
        for row, region in enumerate(self._regions):
            self._draw_region(axes, row, region)
        for label, placement in zip(self._labels, self._placements, strict=True):
            self._draw_label(axes, label, placement)
        if self._release.alert:
            self._enlarge_rollback(axes, self._release.alert)
        duration = self._release.duration_ms / 1000
        ticks = [tick for tick in MaxNLocator(12).tick_values(0, self._limit) if tick <= duration]
        axes.set_xticks(ticks, [f"{tick:g} s" for tick in ticks])

    def _draw_title(self, axes: Axes) -> None:
        release = self._release
        reached = sum(release.candidate_span(region) is not None for region in self._regions)
        summary = f"{release.duration_ms / 1000:.1f} s, {reached} of {len(self._regions)} regions"
        if release.rollback_ms is not None:
            summary = f"{release.rollback_ms:.0f} ms from the alert to the last region"
        add_title(axes, release.trigger, family="monospace")
        colour = COLOURS[OUTCOME_COLOURS.get(release.last.status, "progress")]
        axes.set_title(
            f"{release.outcome}: {summary}", loc="right", color=colour, weight="bold", size=TEXT_SIZE, pad=14
        )

    def _draw_phase(self, axes: Axes, span: PhaseSpan) -> None:
        """Draw the background of a phase; write its name and what it does if there is room."""
        begin, end = self._seconds(span.begin_ms), self._seconds(span.end_ms)
        number = list(dict.fromkeys(s.phase for s in self._release.phase_spans)).index(span.phase)
        colour = ("even", "odd")[number % 2] if span.is_baking else "waiting"
        duration, height = [(begin, end - begin)], self._bottom - self._phase_top
        axes.broken_barh(duration, (self._phase_top, height), facecolor=COLOURS[colour])
        if not span.is_baking:
            axes.broken_barh(duration, (-0.5, len(self._regions)), facecolor="none", hatch="//", linewidth=0)
        state = f"{SPAN_NAMES.get(span.status, '')} {end - begin:.1f} s"
        for text, row, colour in ((span.phase, 0.42, "text"), (state, 0.99, "muted")):
            if text_width(text) + 14 <= (end - begin) * PLOT_WIDTH / self._limit:
                _annotate(axes, text, begin, self._phase_top + row, color=COLOURS[colour])

    def _draw_region(self, axes: Axes, row: int, region: str) -> None:
        span = self._release.candidate_span(region)
        if span is None:
            _annotate(axes, "never received the candidate", 0, row, color=COLOURS["muted"], style="italic")
            return
        begin, end = self._seconds(span.begin_ms), self._seconds(span.end_ms)
        axes.hlines(row, 0, begin, color=COLOURS["grid"], linewidth=1)
        axes.barh(row, end - begin, left=begin, height=0.5, color=COLOURS["candidate"])

    def _draw_label(self, axes: Axes, label: EventLabel, placement: Placement) -> None:
        x, y = self._seconds(label.time_ms), self._phase_top + LANE * (placement.lane - self._lanes + 0.4)
        colour = COLOURS[label.colour]
        axes.vlines(x, y, self._bottom, color=colour, linewidth=1.5, clip_on=False)
        axes.plot(x, y, label.marker, color=colour, markersize=8, clip_on=False)
        _annotate(
            axes, label.text, x, y, is_left=placement.is_left_of_line, color=colour,
            bbox={"facecolor": COLOURS["page"], "edgecolor": "none", "pad": 1},
        )  # fmt: skip

    def _enlarge_rollback(self, axes: Axes, alert: RecordedAlert) -> None:
        """Draw the milliseconds from the alert until the last region served the base again."""
        left, end = self._limit * (1 - ENLARGED), self._seconds(self._release.end_ms)
        corners = (-0.5, self._phase_top, self._bottom, self._bottom)
        axes.fill((end, left, left, end), corners, color=COLOURS["lens"])
        height = (self._bottom - self._phase_top) / self.height
        enlarged = axes.inset_axes((1 - ENLARGED, 0, ENLARGED, height), facecolor=COLOURS["even"])
        duration = max(self._release.end_ms - alert.time_ms, 1.0)
        decided = self._release.last.time_ms - alert.time_ms
        enlarged.set_xlim(-0.06 * duration, 1.45 * duration)
        enlarged.set_ylim(self._bottom, self._phase_top)
        enlarged.set_yticks(())
        for row, region in enumerate(self._regions):
            if span := self._release.candidate_span(region):
                end = span.end_ms - alert.time_ms
                enlarged.barh(row, end, height=0.5, color=COLOURS["candidate"])
                _annotate(enlarged, f"{end:.0f} ms", end, row, weight="bold")
        enlarged.vlines(0, -0.5, self._bottom, color=COLOURS["failure"], linewidth=1.5)
        enlarged.vlines(decided, -0.5, self._bottom, color=COLOURS["text"], linestyle=(0, (2, 2)))
        enlarged.text(0, self._phase_top + 0.42, "The rollback, enlarged", va="center", weight="bold")
        subtitle = f"decided {decided:.0f} ms after the alert"
        enlarged.text(0, self._phase_top + 0.99, subtitle, va="center", color=COLOURS["muted"])
        ticks = MaxNLocator(3).tick_values(0, duration)[:-1]
        enlarged.set_xticks(ticks, [f"{tick:g} ms" for tick in ticks])

    def _seconds(self, time_ms: float) -> float:
        return (time_ms - self._release.begin_ms) / 1000


def _needed_ms(release: RecordedRelease) -> float:
    """Return how much time the x axis must show, so that an enlarged rollback fits beside the release."""
    return release.duration_ms / (1 - ENLARGED - ENLARGED_GAP if release.alert else 0.98)


def _annotate(axes: Axes, text: str, x: float, y: float, *, is_left: bool = False, **properties: Any) -> None:
    """Write a text right of a point, or left of it."""
    offset, align = (-10, "right") if is_left else (10, "left")
    axes.annotate(
        text, (x, y), xytext=(offset, 0), textcoords="offset points", ha=align, va="center",
        annotation_clip=False, **properties,
    )  # fmt: skip


def _draw_head_and_foot(figure: Figure, run: RecordedRun) -> None:
    left, row = MARGIN / WIDTH, ROW / 72 / figure.get_figheight()
    summary = f"{len(run.releases)} releases through {len(run.regions)} regions, as recorded"
    figure.text(left, 1 - row, TITLE, va="top", size=22, weight="bold")
    figure.text(left, 1 - 2.1 * row, summary, va="top", color=COLOURS["muted"])
    figure.legend(
        handles=[
            Patch(color=COLOURS["candidate"], label="the region serves the candidate"),
            Patch(color=COLOURS["odd"], label="a phase bakes"),
            Patch(
                facecolor=COLOURS["waiting"], edgecolor=COLOURS["stripes"], linewidth=0, hatch="///",
                label="a phase waits for review",
            ),
        ],
        loc="upper left", bbox_to_anchor=(left, 1 - 2.9 * row), ncols=3,
    )  # fmt: skip
    date = datetime.fromtimestamp(run.releases[0].begin_ms / 1000, UTC).date().isoformat()
    footnote = FOOTNOTE.format(date=date)
    figure.text(left, 0.6 * row, footnote, va="bottom", color=COLOURS["muted"], linespacing=1.5)


def _description(run: RecordedRun) -> str:
    stories = []
    for release in run.releases:
        reached = [region for region in run.regions_as_reached if release.candidate_span(region)]
        stories.append(f"{release.trigger} reached {', '.join(reached)} and was {release.outcome}.")
    return " ".join(stories)
