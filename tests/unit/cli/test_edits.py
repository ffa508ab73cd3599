"""The changes that `gate set` and `config set` make to the document of a feature."""

from typing import Any

import pytest
from pydantic import ValidationError

from sluiceway.cli.edits import (
    EVERYONE,
    changed,
    json_object,
    rule_scope,
    rule_to_change,
    with_rule,
    with_settings,
)
from sluiceway.cli.session import CommandFailed, validated_name
from sluiceway.contracts.conditions import Condition
from sluiceway.contracts.feature import DynamicConfig, FeatureGate, GateRule
from sluiceway.pipelines.feature_documents import authored_document
from tests.support.builders import EVERYONE as EVERYONE_RULE
from tests.support.builders import Ledger, a_gate

RULE = GateRule.model_validate(
    {"name": "ten", "id": None, "passPercentage": 10.0, "environments": ["staging"]}
)
FRESH = FeatureGate(name="fresh")


def authored_gate(ledger: Ledger) -> FeatureGate:
    document = authored_document(ledger.feature)
    assert isinstance(document, FeatureGate)
    return document


def test_what_is_not_given_stays_unchanged() -> None:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE_RULE, description="old", idType="deviceID"))

    document = with_settings(authored_gate(ledger), "release", False, None)

    assert document == a_gate(
        EVERYONE_RULE, description="old", idType="deviceID", releasePipelineID="release"
    )


def test_a_feature_that_was_never_saved_starts_empty() -> None:
    document = with_settings(FRESH, None, False, None)

    assert document == a_gate(name="fresh")


def test_a_pipeline_is_attached_or_detached() -> None:
    attached = with_settings(FRESH, "release", False, "new")

    assert (attached.release_pipeline_id, attached.description) == ("release", "new")
    assert with_settings(attached, None, True, None).release_pipeline_id is None


def test_a_pipeline_is_not_both_attached_and_detached() -> None:
    with pytest.raises(CommandFailed, match="give one of them"):
        with_settings(FRESH, "release", True, None)


def test_a_change_to_an_invalid_value_is_refused() -> None:
    with pytest.raises(ValidationError, match="description"):
        changed(FRESH, description="x" * 1_001)


def test_a_growing_percentage_keeps_the_rule_that_is_its_salt() -> None:
    assert rule_to_change((RULE,), for_everyone=False) == RULE
    assert rule_to_change((RULE,), for_everyone=True) == GateRule(name="ten", conditions=EVERYONE)


def test_one_of_several_rules_is_not_guessed() -> None:
    with pytest.raises(CommandFailed, match="has 2 rules; replace them all by one with --on"):
        rule_to_change((RULE, RULE), for_everyone=False)

    assert rule_to_change((RULE, RULE), for_everyone=True).name == "set"


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("country any US,DE", {"type": "country", "operator": "any", "targetValue": ["US", "DE"]}),
        (
            "plan none free",
            {"type": "custom_field", "field": "plan", "operator": "none", "targetValue": ["free"]},
        ),
        (
            "email str_contains_any @a.org,@b.org",
            {"type": "email", "operator": "str_contains_any", "targetValue": ["@a.org", "@b.org"]},
        ),
        ("age gte 18", {"type": "custom_field", "field": "age", "operator": "gte", "targetValue": 18}),
        (
            "plan eq pro max",
            {"type": "custom_field", "field": "plan", "operator": "eq", "targetValue": "pro max"},
        ),
    ],
)
def test_a_condition_is_read_from_field_operator_and_value(text: str, condition: dict[str, Any]) -> None:
    scope = rule_scope(None, [text])

    assert scope.conditions == (Condition.model_validate(condition),)
    assert scope.environments is None


@pytest.mark.parametrize(
    ("text", "reason"), [("country US", "FIELD OPERATOR VALUE"), ("age eq {}", "age eq")]
)
def test_an_invalid_condition_is_refused_with_its_text(text: str, reason: str) -> None:
    with pytest.raises(CommandFailed, match=f"invalid --where .*{reason}"):
        rule_scope(None, [text])


def test_a_scope_changes_only_what_it_gives() -> None:
    assert rule_scope(None, None).apply_to(RULE) == RULE
    assert rule_scope(["production"], None).apply_to(RULE).environments == ("production",)


def test_a_value_for_some_users_comes_first_and_replaces_that_for_the_same_users() -> None:
    americans, germans = (rule_scope(None, [f"country any {code}"]) for code in ("US", "DE"))

    rules = with_rule(with_rule((), americans, {"limit": 1}), germans, {"limit": 2})
    again = with_rule(rules, americans, {"limit": 3})

    assert [(rule.name, rule.return_value) for rule in rules] == [
        ("set-2", {"limit": 2}),
        ("set", {"limit": 1}),
    ]
    assert [(rule.name, rule.return_value) for rule in again] == [
        ("set", {"limit": 3}),
        ("set-2", {"limit": 2}),
    ]
    changed(DynamicConfig(name="limits"), rules=again)


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_the_value_of_a_config_must_be_a_json_object(text: str) -> None:
    with pytest.raises(CommandFailed, match="--value"):
        json_object(text)


@pytest.mark.parametrize("name", ["a.b", "a b", "*", "", "x" * 101, "a\n"])
def test_a_name_that_would_break_a_subject_is_refused(name: str) -> None:
    with pytest.raises(CommandFailed, match="invalid gate name"):
        validated_name("gate", name)
