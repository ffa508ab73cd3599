"""What one measurement says."""

from typing import Any

import pytest

from sluiceway.contracts.guardrails import MetricGuardrail
from sluiceway.contracts.measurements import Judgement, Measurement
from sluiceway.pipelines.guardrail_queries import GuardrailQuery
from sluiceway.pipelines.measurement import QueryResult, evaluate_measurement

NAN, INF = float("nan"), float("inf")
QUERY = GuardrailQuery("eu", "q", samples="n", baseline=("b1", "b2"))


def measured(
    guardrail: dict[str, Any], *values: float, error: str | None = None, **others: QueryResult
) -> Measurement:
    """Return the measurement of the answer `values`; the results of other queries are given by name."""
    model = MetricGuardrail.model_validate({"name": "g", "query": "q", **guardrail})
    return evaluate_measurement(model, QUERY, {"q": QueryResult(values, error), **others})


@pytest.mark.parametrize(
    ("conditions", "value", "expected"),
    [
        ({"failureCondition": "> 1"}, 2, Judgement.FAILURE),
        ({"failureCondition": "> 1"}, 1, Judgement.SUCCESS),
        ({"failureCondition": "> 1"}, INF, Judgement.FAILURE),
        ({"successCondition": "< 1"}, 0, Judgement.SUCCESS),
        ({"successCondition": "< 1"}, 1, Judgement.FAILURE),
        ({"successCondition": "< 1", "failureCondition": "> 2"}, 1.5, Judgement.INCONCLUSIVE),
        ({"successCondition": "< 5", "failureCondition": "> 2"}, 3, Judgement.FAILURE),
        ({"successCondition": "< 5", "failureCondition": "> 2"}, 1, Judgement.SUCCESS),
    ],
)
def test_a_condition_decides(conditions: dict[str, str], value: float, expected: Judgement) -> None:
    assert measured(conditions, value).judgement is expected


@pytest.mark.parametrize("conditions", [{"failureCondition": "> 1"}, {"successCondition": "< 1"}])
@pytest.mark.parametrize(
    ("values", "error", "why"),
    [((), None, "no data"), ((NAN,), None, "NaN"), ((0.0, 9.0), None, "2 series"), ((), "down", "down")],
)
def test_a_missing_value_is_an_error_and_never_a_pass_or_a_failure(
    conditions: dict[str, str], values: tuple[float, ...], error: str | None, why: str
) -> None:
    result = measured(conditions, *values, error=error)

    assert result.judgement is Judgement.ERROR
    assert why in result.why


@pytest.mark.parametrize(
    ("reducer", "expected"),
    [
        ("max", Judgement.FAILURE),
        ("min", Judgement.SUCCESS),
        ("avg", Judgement.SUCCESS),
        ("any", Judgement.FAILURE),
        ("all", Judgement.SUCCESS),
    ],
)
def test_several_series_need_a_reducer(reducer: str, expected: Judgement) -> None:
    assert measured({"failureCondition": "> 4", "reducer": reducer}, 1, 5).judgement is expected


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (QueryResult((100.0,)), Judgement.FAILURE),
        (QueryResult((99.0,)), Judgement.INCONCLUSIVE),
        (QueryResult(()), Judgement.INCONCLUSIVE),
        (QueryResult((NAN,)), Judgement.ERROR),
        (QueryResult((1.0, 2.0)), Judgement.ERROR),
        (QueryResult(error="down"), Judgement.ERROR),
    ],
)
def test_too_few_samples_are_inconclusive_and_never_a_failure(
    samples: QueryResult, expected: Judgement
) -> None:
    guardrail = {"failureCondition": "> 1", "minSamples": {"query": "n", "atLeast": 100}}

    assert measured(guardrail, 9, n=samples).judgement is expected


@pytest.mark.parametrize(
    ("compare", "value", "b1", "b2", "expected", "displayed"),
    [
        ("ratio", 4, QueryResult((1.0,)), QueryResult((3.0,)), Judgement.SUCCESS, 2),
        ("ratio", 5, QueryResult((1.0,)), QueryResult((3.0,)), Judgement.FAILURE, 2.5),
        ("ratio", 5, QueryResult((2.0,)), QueryResult(()), Judgement.FAILURE, 2.5),
        ("ratio", 5, QueryResult((0.0,)), QueryResult((0.0,)), Judgement.FAILURE, INF),
        ("ratio", 0, QueryResult((0.0,)), QueryResult((0.0,)), Judgement.INCONCLUSIVE, None),
        ("difference", 4, QueryResult((1.0,)), QueryResult((3.0,)), Judgement.SUCCESS, 2),
        ("difference", 0, QueryResult((0.0,)), QueryResult((0.0,)), Judgement.SUCCESS, 0),
        ("ratio", 5, QueryResult(()), QueryResult(error="down"), Judgement.ERROR, 5),
    ],
)
def test_a_value_is_compared_with_the_mean_of_the_other_regions(
    compare: str, value: float, b1: QueryResult, b2: QueryResult, expected: Judgement, displayed: float | None
) -> None:
    guardrail = {"failureCondition": "> 2", "baseline": {"compare": compare}}

    result = measured(guardrail, value, b1=b1, b2=b2)

    assert (result.judgement, result.value) == (expected, displayed)


def test_without_a_region_left_to_compare_with_it_is_inconclusive() -> None:
    guardrail = MetricGuardrail.model_validate(
        {"name": "g", "query": "q", "failureCondition": "> 2", "baseline": {"compare": "ratio"}}
    )

    result = evaluate_measurement(guardrail, GuardrailQuery("eu", "q"), {"q": QueryResult((9.0,))})

    assert result.judgement is Judgement.INCONCLUSIVE


def test_an_infinite_value_crosses_the_wire() -> None:
    result = measured({"failureCondition": "> 1"}, INF)

    assert Measurement.model_validate_json(result.to_json()) == result
