"""What a quick change makes of a feature."""

from typing import Any

import pytest

from sluiceway.cli.edits import document_of, json_object, kept, segment, with_rule
from sluiceway.cli.session import CommandFailed, checked_name
from sluiceway.contracts.feature import DynamicConfig, FeatureGate
from tests.support.builders import EVERYONE, Ledger, a_gate

RULE: dict[str, Any] = {"name": "ten", "id": None, "passPercentage": 10.0, "environments": ["staging"]}


def test_what_is_not_named_stays_as_it_is() -> None:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE, description="old", idType="deviceID"))

    document = document_of(ledger.feature, "FeatureGate", "checkout", "release", False, None)

    assert FeatureGate.model_validate(document) == a_gate(
        EVERYONE, description="old", idType="deviceID", releasePipelineID="release"
    )


def test_a_feature_that_was_never_saved_begins_empty() -> None:
    document = document_of(None, "FeatureGate", "fresh", None, False, None)

    assert FeatureGate.model_validate(document) == a_gate(name="fresh")


def test_a_pipeline_is_attached_or_detached_but_not_both() -> None:
    with pytest.raises(CommandFailed, match="give one of them"):
        document_of(None, "FeatureGate", "fresh", "release", True, None)


def test_a_growing_percentage_keeps_the_rule_that_salts_it() -> None:
    assert kept([RULE], anew=False) == RULE
    assert kept([RULE], anew=True) == {"name": "ten", "id": None, "conditions": [{"type": "public"}]}


def test_one_of_several_rules_is_not_guessed() -> None:
    with pytest.raises(CommandFailed, match="has 2 rules; say --on"):
        kept([RULE, RULE], anew=False)

    assert kept([RULE, RULE], anew=True)["name"] == "set"


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("country any US,DE", {"type": "country", "operator": "any", "targetValue": ["US", "DE"]}),
        (
            "plan none free",
            {"type": "custom_field", "field": "plan", "operator": "none", "targetValue": ["free"]},
        ),
        ("age gte 18", {"type": "custom_field", "field": "age", "operator": "gte", "targetValue": 18}),
        (
            "plan eq pro max",
            {"type": "custom_field", "field": "plan", "operator": "eq", "targetValue": "pro max"},
        ),
    ],
)
def test_a_condition_is_read_from_field_operator_and_value(text: str, condition: dict[str, Any]) -> None:
    assert segment(None, [text]) == {"conditions": [condition]}


def test_a_condition_without_a_value_is_refused() -> None:
    with pytest.raises(CommandFailed, match="FIELD OPERATOR VALUE"):
        segment(None, ["country US"])


def test_a_value_for_some_stands_in_front_and_replaces_the_one_for_the_same_users() -> None:
    americans, germans = (segment(None, [f"country any {code}"]) for code in ("US", "DE"))

    rules = with_rule(with_rule([], americans, {"limit": 1}), germans, {"limit": 2})
    again = with_rule(rules, americans, {"limit": 3})

    assert [(rule["name"], rule["returnValue"]) for rule in rules] == [
        ("set-2", {"limit": 2}),
        ("set", {"limit": 1}),
    ]
    assert [(rule["name"], rule["returnValue"]) for rule in again] == [
        ("set", {"limit": 3}),
        ("set-2", {"limit": 2}),
    ]
    DynamicConfig.model_validate({"name": "limits", "rules": again})


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_config_takes_a_json_object_and_nothing_else(text: str) -> None:
    with pytest.raises(CommandFailed, match="--value"):
        json_object(text)


@pytest.mark.parametrize("name", ["a.b", "a b", "*", "", "x" * 101, "a\n"])
def test_a_name_that_would_break_a_subject_is_refused(name: str) -> None:
    with pytest.raises(CommandFailed, match="is no name of a gate"):
        checked_name("gate", name)
