"""Measurements of a guardrail as a small plot: points, and the limits of its conditions."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sluiceway.contracts.guardrails import MetricGuardrail
from sluiceway.contracts.measurements import EVERYWHERE, Judgement, Round
from sluiceway.pipelines.thresholds import parse_threshold

WIDTH, HEIGHT = 320, 96
LEFT, RIGHT, TOP, BOTTOM = 6, 46, 8, 8
#: Points of a plot; older measurements are not shown.
POINTS_MAX = 60


class Point(NamedTuple):
    """One measurement, with its position in the plot."""

    x: float
    y: float
    value: float
    judgement: Judgement


class Limit(NamedTuple):
    """The limit of a condition, as a horizontal line."""

    y: float
    value: float


class Plot(NamedTuple):
    """The measurements of one guardrail in one region."""

    region: str
    points: tuple[Point, ...]
    limits: tuple[Limit, ...]
    #: The newest measurement; its value is None if the query returned no number.
    judgement: Judgement
    why: str
    value: float | None

    @property
    def line(self) -> str:
        """The points as an SVG polyline needs them."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


def plots_of(guardrail: MetricGuardrail, rounds: Sequence[Round]) -> list[Plot]:
    """Return a plot for each region. `rounds` are oldest first."""
    conditions = filter(None, (guardrail.failure_condition, guardrail.success_condition))
    limits = sorted({parse_threshold(condition).limit for condition in conditions})
    by_region: dict[str, list[tuple[float, float, Judgement]]] = defaultdict(list)
    newest = {}
    for round_ in rounds[-POINTS_MAX:]:
        for measurement in round_.measurements:
            region = measurement.region
            newest[region] = measurement
            if measurement.value is not None:
                by_region[region].append((round_.time_ms, measurement.value, measurement.judgement))
    return [
        Plot(
            region="all regions" if region == EVERYWHERE else region,
            points=_positioned(by_region[region], limits),
            limits=tuple(Limit(_y(limit, by_region[region], limits), limit) for limit in limits),
            judgement=last.judgement,
            why=last.why,
            value=last.value,
        )
        for region, last in sorted(newest.items())
    ]


def _positioned(
    values: Sequence[tuple[float, float, Judgement]], limits: Sequence[float]
) -> tuple[Point, ...]:
    if not values:
        return ()
    first, last = values[0][0], values[-1][0]
    width = WIDTH - LEFT - RIGHT
    return tuple(
        Point(
            LEFT + (width * (time - first) / (last - first) if last > first else width / 2),
            _y(value, values, limits),
            value,
            judgement,
        )
        for time, value, judgement in values
    )


def _y(value: float, values: Sequence[tuple[float, float, Judgement]], limits: Sequence[float]) -> float:
    """Return the y coordinate of a value, on a scale that contains all values, all limits and zero."""
    finite = [v for v in (*(value for _, value, _ in values), *limits, 0.0) if math.isfinite(v)]
    low, high = min(finite) / 2, max(finite) / 2  # halved, so that the difference of huge numbers is finite
    part = 0.5 if high == low else (min(max(value / 2, low), high) - low) / (high - low)
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - part)
