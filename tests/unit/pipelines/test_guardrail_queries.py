"""Queries of guardrails: which are refused, and what is sent for which region."""

from typing import Any

import pytest

from sluiceway.contracts.guardrails import MetricGuardrail
from sluiceway.pipelines.guardrail_queries import GuardrailQuery, guardrail_queries, query_errors
from sluiceway.pipelines.guardrail_schedule import SPREAD, active_guardrails, next_measurement_ms
from tests.support.builders import a_phase, a_region, a_trigger

REGIONS = [
    a_region("dev"),
    a_region("prod-eu", "production", region="eu", host='a"b\\c'),
    a_region("prod-us", "production", region="us"),
]


def in_region(name: str) -> dict[str, Any]:
    return {"type": "custom_field", "field": "region", "operator": "any", "targetValue": [name]}


def queries_of(query: str, *, phase: int = 2, **fields: Any) -> tuple[GuardrailQuery, ...]:
    """Return the queries while a phase of three is out; the second and third are in production."""
    phases = (
        a_phase("dev"),
        *(a_phase(name, environments=["production"], conditions=[in_region(name)]) for name in ("eu", "us")),
    )
    trigger = a_trigger(*phases, phase=phase)
    guardrail = MetricGuardrail.model_validate(
        {"name": "g", "query": query, "failureCondition": "> 1", **fields}
    )
    return guardrail_queries(guardrail, trigger, trigger.current_run.phase, REGIONS)


@pytest.mark.parametrize(
    "query",
    [
        'sum(rate(errors{region="{{ region }}"}[1m])) / sum(rate(all{region="{{region}}"}[1m]))',
        "vector(1)",
        "1",
        "(up)",
        'avg_over_time(x{a="{{ region.host }}"}[5m])',
    ],
)
def test_promql_with_known_placeholders_is_accepted(query: str) -> None:
    assert query_errors(query) == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("sum(", "invalid PromQL"),
        ("rate(x)", "expected type"),
        ("x[5m]", "range of values"),
        ("(x[5m])", "range of values"),
        ("x[5m:1m]", "range of values"),
        ('"text"', "text, not a number"),
        ('x{a="{{ zone }}"}', "unknown placeholder {{ zone }}"),
        ("", "invalid PromQL"),
    ],
)
def test_an_invalid_query_is_refused(query: str, error: str) -> None:
    assert error in query_errors(query)[0]


def test_a_query_is_sent_for_the_regions_that_its_phase_covers() -> None:
    queries = queries_of(
        'x{r="{{ region }}", e="{{ environment }}", f="{{ feature }}", h="{{ region.host }}"}'
    )

    assert queries == (
        GuardrailQuery("prod-eu", 'x{r="prod-eu", e="production", f="checkout", h="a\\"b\\\\c"}'),
    )


def test_a_region_without_the_attribute_is_an_error_of_that_region_alone() -> None:
    (query,) = queries_of('x{h="{{ region.host }}"}', phase=3)

    assert query.region == "prod-us"
    assert query.error == "region 'prod-us' has no attribute 'host'"


def test_samples_of_a_region_are_an_error_if_the_phase_covers_none() -> None:
    guardrail = MetricGuardrail.model_validate(
        {
            "name": "g",
            "query": "up",
            "failureCondition": "> 1",
            "minSamples": {"query": 'n{r="{{ region }}"}', "atLeast": 1},
        }
    )
    trigger = a_trigger(a_phase("dev"))

    (query,) = guardrail_queries(guardrail, trigger, trigger.current_run.phase, ())

    assert query.error == "{{ region }} has no value: the phase covers no region"


def test_the_baseline_is_the_same_query_where_nothing_is_released() -> None:
    query = 'x{r="{{ region }}"}'

    (first,) = queries_of(query, phase=1, baseline={"compare": "ratio"})
    (narrowed,) = queries_of(query, phase=1, baseline={"compare": "ratio", "environments": ["development"]})
    (last,) = queries_of(query, phase=3, baseline={"compare": "ratio"})

    assert first.baseline == ('x{r="prod-eu"}', 'x{r="prod-us"}')
    assert narrowed.baseline is None
    assert last.baseline is None


def test_regions_can_be_queried_together() -> None:
    (query,) = queries_of('x{r=~"{{ regions }}"}', phase=1, baseline={"compare": "ratio"})

    assert (query.query, query.baseline) == ('x{r=~"dev"}', ('x{r=~"prod-eu|prod-us"}',))


def test_equal_queries_come_close_together_and_others_are_spread() -> None:
    interval = 30_000

    def instants(query: str, *, gate: str = "checkout", started_ms: int = 0) -> list[int]:
        guardrail = {"name": "g", "query": query, "failureCondition": "> 1", "intervalMs": interval}
        trigger = a_trigger(a_phase("dev", guardrails=[guardrail]))
        (active,) = active_guardrails(trigger.model_copy(update={"id": f"gate.{gate}.1"}))
        first = next_measurement_ms(active, None) + started_ms
        second = next_measurement_ms(active, first)
        return [second, next_measurement_ms(active, second)]

    one, same = instants("x"), instants("x", started_ms=7_000)
    equal = {(instants("x", gate=f"g{n}")[0] - one[0]) % interval for n in range(100)}
    others = {instants(f"x{n}")[0] % interval for n in range(20)}

    assert one[1] - one[0] == interval
    assert (one[0] - same[0]) % interval == 0
    assert all(min(shift, interval - shift) < interval / SPREAD for shift in equal)
    assert len(equal) > 80
    assert len(others) > 15
