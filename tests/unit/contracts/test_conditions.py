"""Every condition type and operator is evaluated, validated, described and documented."""

import json
import re
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.console.pages.describe import OPERATOR_WORDS, REFERENCES, TYPE_WORDS, describe_condition
from sluiceway.contracts.conditions import Condition, ConditionOperator, ConditionType
from sluiceway.evaluation.operators import OPERATORS, compile_test
from sluiceway.pipelines.condition_errors import (
    REFUSED_OPERATORS,
    TARGET_CHECKS,
    TYPE_CHECKS,
    condition_errors,
)
from sluiceway.pipelines.sdk_conditions import SDK_CONDITIONS, sdk_condition
from sluiceway.pipelines.segments import DECIDED_PER_REGION

DOCUMENT = Path(__file__).parents[3] / "docs/conditions.md"
#: `any` → the condition in its row.
EXAMPLES = {
    name: Condition.model_validate_json(example)
    for name, example in re.findall(r"^\| `(\w+)` \|.*`(\{.*\})` \|$", DOCUMENT.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize(
    ("place", "covered"),
    [
        ("evaluation: OPERATORS in evaluation/operators.py", OPERATORS),
        ("validation: TARGET_CHECKS in pipelines/condition_errors.py", TARGET_CHECKS),
        ("wording: OPERATOR_WORDS in console/pages/describe.py", OPERATOR_WORDS),
        ("documentation: the table of operators in docs/conditions.md", EXAMPLES.keys() - set(ConditionType)),
    ],
)
def test_every_operator_is_covered(place: str, covered: Collection[str]) -> None:
    assert uncovered(ConditionOperator, covered) == [], place
    assert set(covered) <= set(ConditionOperator), place


@pytest.mark.parametrize(
    ("place", "covered"),
    [
        ("validation: TYPE_CHECKS in pipelines/condition_errors.py", TYPE_CHECKS),
        (
            "projection: SDK_CONDITIONS in pipelines/sdk_conditions.py, or DECIDED_PER_REGION in segments.py",
            SDK_CONDITIONS.keys() | DECIDED_PER_REGION,
        ),
        ("wording: TYPE_WORDS in console/pages/describe.py", TYPE_WORDS),
        ("documentation: the table of types in docs/conditions.md", EXAMPLES.keys() - set(ConditionOperator)),
    ],
)
def test_every_type_is_covered(place: str, covered: Collection[str]) -> None:
    assert uncovered(ConditionType, covered) == [], place
    assert set(covered) <= set(ConditionType), place


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_documented_example_is_valid_and_uses_what_its_row_names(name: str) -> None:
    example = EXAMPLES[name]

    assert name in (example.type, example.operator)
    assert bool(list(condition_errors(example))) == (name in REFUSED_OPERATORS)
    assert describe_condition(example)
    if example.type not in DECIDED_PER_REGION:
        assert sdk_condition(example).operator == example.operator
    if example.type not in REFERENCES | {ConditionType.PUBLIC}:
        test = compile_test(str(example.operator), json.loads(example.to_json())["targetValue"])
        assert test(None) in (True, False)


def test_an_operator_of_another_version_is_read_and_then_refused() -> None:
    text = '{"type": "country", "operator": "resembles", "targetValue": ["US"]}'

    condition = Condition.model_validate_json(text)

    assert condition.operator == "resembles"
    assert json.loads(condition.to_json())["operator"] == "resembles"
    assert describe_condition(condition) == "country resembles US"
    assert "unknown operator 'resembles'; use one of after, any, " in next(condition_errors(condition))


def test_an_unknown_type_cannot_be_read() -> None:
    with pytest.raises(ValidationError, match="type"):
        Condition.model_validate({"type": "moon_phase"})


def uncovered(members: type[StrEnum], covered: Collection[str]) -> list[str]:
    return sorted(set(members) - set(covered))
