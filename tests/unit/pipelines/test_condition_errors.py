"""Each error in a condition is a sentence that says what to do."""

from typing import Any

import pytest

from sluiceway.contracts.conditions import Condition
from sluiceway.pipelines.condition_errors import condition_errors
from sluiceway.pipelines.validation import feature_errors
from tests.support.builders import a_gate


def errors(type_: str = "custom_field", **fields: Any) -> list[str]:
    defaults = {"field": "x"} if type_ == "custom_field" else {}
    return list(condition_errors(Condition.model_validate({"type": type_, **defaults, **fields})))


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("public", {}),
        ("passes_gate", {"targetValue": "checkout"}),
        ("fails_segment", {"targetValue": "beta"}),
        ("time", {"operator": "after", "targetValue": "2026-01-31T12:00:00Z"}),
        ("time", {"operator": "before", "targetValue": 1_700_000_000_000}),
        ("unit_id", {"customID": "teamID", "operator": "any", "targetValue": ["t"]}),
        ("custom_field", {"operator": "any", "targetValue": ["a", "A"]}),
        ("custom_field", {"operator": "eq", "targetValue": None}),
        ("custom_field", {"operator": "gt", "targetValue": "1.5"}),
        ("app_version", {"operator": "version_gte", "targetValue": "1.10.2-beta"}),
        ("email", {"operator": "str_matches", "targetValue": r"^[a-z]+@example\.com$"}),
        ("custom_field", {"operator": "array_contains_any", "targetValue": ["a", 1]}),
    ],
)
def test_a_valid_condition_has_no_error(type_: str, fields: dict[str, Any]) -> None:
    assert errors(type_, **fields) == []


@pytest.mark.parametrize(
    ("type_", "fields", "says"),
    [
        ("public", {"operator": "any"}, "takes no operator"),
        ("passes_gate", {}, "needs one name"),
        ("passes_segment", {"targetValue": ["a", "b"]}, "needs one name"),
        ("custom_field", {"field": None, "operator": "any", "targetValue": []}, "needs a field"),
        ("unit_id", {"operator": "any", "targetValue": []}, "needs a customID"),
        ("custom_field", {}, "needs an operator, one of"),
        ("custom_field", {"operator": "resembles"}, "unknown operator 'resembles'"),
        (
            "time",
            {"operator": "any", "targetValue": []},
            "does not support the operator 'any'; use one of after",
        ),
        ("time", {"operator": "on", "targetValue": 1}, "use `after` and `before`"),
        ("custom_field", {"operator": "on", "targetValue": 1}, "use `after` and `before`"),
        ("custom_field", {"operator": "any", "targetValue": "us"}, "needs a list"),
        ("custom_field", {"operator": "any_case_sensitive", "targetValue": ["A", "a"]}, "only in case"),
        ("custom_field", {"operator": "eq", "targetValue": ["A", "a"]}, "only in case"),
        ("custom_field", {"operator": "neq", "targetValue": ["a", "a"]}, "duplicate 'a'"),
        ("custom_field", {"operator": "array_contains_all", "targetValue": ["", "a"]}, "at random"),
        ("custom_field", {"operator": "array_contains_any", "targetValue": "a"}, "needs a list"),
        ("custom_field", {"operator": "lte", "targetValue": "many"}, "needs a number"),
        ("app_version", {"operator": "version_eq", "targetValue": "1.x"}, "needs a version"),
        ("app_version", {"operator": "version_eq", "targetValue": 1}, "needs a version"),
        ("custom_field", {"operator": "after", "targetValue": "tomorrow"}, "milliseconds since 1970"),
        ("email", {"operator": "str_matches", "targetValue": 5}, "needs a pattern"),
        ("email", {"operator": "str_matches", "targetValue": "(a"}, "invalid pattern"),
        ("email", {"operator": "str_matches", "targetValue": "(a+)+$"}, "without a bound"),
        ("email", {"operator": "str_matches", "targetValue": "a{5000}"}, "5000 items"),
        ("email", {"operator": "str_matches", "targetValue": "a" * 1_001}, "1001 characters"),
    ],
)
def test_each_error_says_what_to_do(type_: str, fields: dict[str, Any], says: str) -> None:
    found = errors(type_, **fields)

    assert len(found) == 1
    assert says in found[0]


def test_a_pattern_that_takes_long_for_an_environment_is_refused() -> None:
    slow = {
        "type": "environment_tier",
        "operator": "str_matches",
        "targetValue": "^(?:[a-z-]|[a-z-][a-z-])+[!?]",
    }
    usual = {**slow, "targetValue": "^(?:us|eu)-.*-[0-9]+$"}
    name = "a-very-long-name-of-an-environment-in-the-very-far-north-west-1"

    refused = feature_errors(a_gate({"name": "r", "conditions": [slow]}), [name])

    assert len(refused) == 1
    assert f"takes too long for the environment {name!r}" in refused[0]
    assert feature_errors(a_gate({"name": "r", "conditions": [usual]}), [name]) == []
