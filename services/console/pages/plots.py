"""Measurements of a guardrail as a small plot: points to draw, and the limits that they are held against."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sluiceway.contracts.guardrails import MetricGuardrail
from sluiceway.contracts.measurements import EVERYWHERE, Judgement, Round
from sluiceway.pipelines.thresholds import parse_threshold

WIDTH, HEIGHT = 320, 96
LEFT, RIGHT, TOP, BOTTOM = 6, 46, 8, 8
#: Points of a plot; older measurements are left out.
POINTS_MAX = 60


class Point(NamedTuple):
    """One measurement, where it stands in the plot."""

    x: float
    y: float
    value: float
    judgement: Judgement


class Limit(NamedTuple):
    """A line that a condition draws."""

    y: float
    value: float


class Plot(NamedTuple):
    """One guardrail in one region."""

    region: str
    points: tuple[Point, ...]
    limits: tuple[Limit, ...]
    #: What the last measurement says, and why; also where it has no number.
    said: Judgement
    why: str
    last: float | None

    @property
    def line(self) -> str:
        """The points as SVG takes them."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


def plots_of(guardrail: MetricGuardrail, rounds: Sequence[Round]) -> list[Plot]:
    """Return a plot per region, of rounds that stand oldest first."""
    conditions = filter(None, (guardrail.failure_condition, guardrail.success_condition))
    limits = sorted({parse_threshold(condition).limit for condition in conditions})
    by_region: dict[str, list[tuple[float, float, Judgement]]] = defaultdict(list)
    newest = {}
    for round_ in rounds[-POINTS_MAX:]:
        for one in round_.measurements:
            newest[one.region] = one
            if one.value is not None:
                by_region[one.region].append((round_.time_ms, one.value, one.judgement))
    return [
        Plot(
            region="all regions" if region == EVERYWHERE else region,
            points=_placed(by_region[region], limits),
            limits=tuple(Limit(_height(limit, by_region[region], limits), limit) for limit in limits),
            said=last.judgement,
            why=last.why,
            last=last.value,
        )
        for region, last in sorted(newest.items())
    ]


def _placed(values: Sequence[tuple[float, float, Judgement]], limits: Sequence[float]) -> tuple[Point, ...]:
    if not values:
        return ()
    first, last = values[0][0], values[-1][0]
    width = WIDTH - LEFT - RIGHT
    return tuple(
        Point(
            LEFT + (width * (time - first) / (last - first) if last > first else width / 2),
            _height(value, values, limits),
            value,
            judgement,
        )
        for time, value, judgement in values
    )


def _height(value: float, values: Sequence[tuple[float, float, Judgement]], limits: Sequence[float]) -> float:
    """Return the y of a value, on a scale that holds all values and limits, and zero."""
    finite = [v for v in (*(one[1] for one in values), *limits, 0.0) if math.isfinite(v)]
    low, high = min(finite) / 2, max(finite) / 2  # halved: the greatest numbers have a difference, too
    part = 0.5 if high == low else (min(max(value / 2, low), high) - low) / (high - low)
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - part)
