"""Guardrails that are refused when their pipeline is saved."""

from typing import Any

import pytest
from pydantic import ValidationError

from sluiceway.contracts.pipeline import Pipeline
from sluiceway.pipelines.validation import pipeline_errors
from tests.support.builders import a_phase, a_pipeline, a_region

GOOD = {"name": "errors", "query": 'x{region="{{ region }}"}', "failureCondition": "> 1"}
REGIONS = [a_region("dev"), a_region("eu", "production")]


def errors(*guardrails: dict[str, Any]) -> list[str]:
    pipeline = a_pipeline(a_phase("dev", guardrails=guardrails), a_phase("eu", environments=["production"]))
    return pipeline_errors(pipeline, ("development", "production"), REGIONS)


def test_a_valid_guardrail_is_accepted() -> None:
    alert = {"name": "pager", "alert": {"matchLabels": {"team": "a"}}, "onFailure": "pause"}
    full = {
        **GOOD,
        "name": "full",
        "successCondition": "< 1",
        "interval": "1m",
        "initialDelay": "5m",
        "minSamples": {"query": "n", "atLeast": 10},
        "baseline": {"compare": "ratio"},
        "onInconclusive": "rollback",
    }

    assert errors(GOOD, alert, full) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"failureCondition": "much"}, "failureCondition: invalid condition 'much'"),
        ({"successCondition": "> 1 or"}, "successCondition"),
        ({"query": "sum("}, "query: invalid PromQL"),
        ({"minSamples": {"query": "rate(x)", "atLeast": 1}}, "minSamples: invalid PromQL"),
        ({"query": "up", "baseline": {"compare": "ratio"}}, "use {{ region }}"),
        (
            {"baseline": {"compare": "ratio", "environments": ["development"]}},
            "no region left after this phase",
        ),
    ],
)
def test_an_invalid_guardrail_is_named_with_its_phase(changed: dict[str, Any], expected: str) -> None:
    (error,) = errors({**GOOD, **changed})

    assert error.startswith("phase 'dev', guardrail 'errors': ")
    assert expected in error


@pytest.mark.parametrize(
    "guardrails",
    [
        [{"name": "g", "query": "up"}],
        [{"name": "g", "failureCondition": "> 1"}],
        [{**GOOD, "interval": "1ms"}],
        [{**GOOD, "interval": "1m", "intervalMs": 1}],
        [{**GOOD, "interval": "soon"}],
        [{**GOOD, "onFailure": "panic"}],
        [{**GOOD, "failurelimit": 1}],
        [{**GOOD, "reducer": "any", "baseline": {"compare": "ratio"}}],
        [{"name": "g", "alert": {"matchLabels": {}}}],
        [{"name": "g", "alert": {"matchLabels": {"a": "b"}}, "query": "up"}],
        [GOOD, GOOD],
    ],
)
def test_a_malformed_guardrail_is_refused(guardrails: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        a_phase("dev", guardrails=guardrails)


def test_a_pipeline_sets_how_long_it_is_observed_and_how_far_it_rolls_back() -> None:
    phases = [a_phase("dev").to_jsonable()]

    pipeline = Pipeline.model_validate(
        {"name": "p", "phases": phases, "observeFor": "1h", "rollbackScope": "phase"}
    )

    assert (pipeline.observe_for_ms, pipeline.rollback_scope) == (3_600_000, "phase")
    assert Pipeline.model_validate_json(pipeline.to_json()) == pipeline
