"""Guardrail plots: every point lies inside, and limits are drawn at their values."""

from hypothesis import given
from hypothesis import strategies as st

from services.console.pages.plots import HEIGHT, WIDTH, plots_of
from sluiceway.contracts.guardrails import MetricGuardrail
from sluiceway.contracts.measurements import Judgement, Measurement, Round, Tally, Verdict

GUARDRAIL = MetricGuardrail(name="errors", query="up", failure_condition="> 0.02")


def round_(time_ms: int, **values: float | None) -> Round:
    measurements = tuple(
        Measurement(
            region=region,
            query="up",
            judgement=Judgement.ERROR if value is None else Judgement.SUCCESS,
            value=value,
            why="no data" if value is None else "fine",
        )
        for region, value in values.items()
    )
    return Round(
        trigger="gate.g.1",
        phase_id="dev",
        guardrail="errors",
        since_ms=0,
        time_ms=time_ms,
        measurements=measurements,
        tallies=dict.fromkeys(values, Tally()),
        verdict=Verdict.PASSING,
        region=next(iter(values)),
        why="",
    )


def test_each_region_has_a_plot_with_the_limit_in_it() -> None:
    plots = plots_of(GUARDRAIL, [round_(1_000, eu=0.01, us=0.0), round_(2_000, eu=0.04, us=0.0)])

    eu, us = plots
    assert (eu.region, us.region) == ("eu", "us")
    assert eu.points[1].y < eu.limits[0].y < eu.points[0].y
    assert eu.limits[0].value == 0.02


def test_a_measurement_without_a_number_is_shown_but_not_drawn() -> None:
    (plot,) = plots_of(GUARDRAIL, [round_(1_000, eu=0.01), round_(2_000, eu=None)])

    assert len(plot.points) == 1
    assert (plot.judgement, plot.why, plot.value) == (Judgement.ERROR, "no data", None)


@given(st.lists(st.tuples(st.integers(0, 10**12), st.floats(allow_nan=False)), min_size=1))
def test_every_point_lies_in_the_picture(values: list[tuple[int, float]]) -> None:
    rounds = [round_(time_ms, eu=value) for time_ms, value in sorted(values)]

    (plot,) = plots_of(GUARDRAIL, rounds)

    assert all(0 <= point.x <= WIDTH and 0 <= point.y <= HEIGHT for point in plot.points)
    assert all(0 <= limit.y <= HEIGHT for limit in plot.limits)
