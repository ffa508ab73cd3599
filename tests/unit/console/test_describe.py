"""Rules and changes in plain English."""

from typing import Any

import pytest

from services.console.pages.describe import (
    describe_change,
    describe_condition,
    describe_rule,
    describe_segment,
)
from sluiceway.contracts.conditions import Condition
from sluiceway.contracts.feature import ConfigRule, GateRule, Spec
from sluiceway.contracts.pipeline import PhaseRule

EVERYONE = Condition.model_validate({"type": "public"})
PRO = Condition.model_validate(
    {"type": "custom_field", "field": "plan", "operator": "any", "targetValue": ["pro", "team"]}
)


def spec(**fields: Any) -> Spec:
    return Spec.model_validate(
        {"version": 1, "isEnabled": True, "idType": "userID", "defaultValue": False, "rules": [], **fields}
    )


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"type": "public"}, "everyone"),
        ({"type": "passes_gate", "targetValue": "beta"}, "passes gate beta"),
        ({"type": "fails_segment", "targetValue": "staff"}, "is not in segment staff"),
        ({"type": "country", "operator": "none", "targetValue": ["DE"]}, "country is none of DE"),
        (
            {"type": "app_version", "operator": "version_gt", "targetValue": "2.1"},
            "app version is newer than 2.1",
        ),
    ],
)
def test_a_condition_reads_as_a_sentence(condition: dict[str, Any], words: str) -> None:
    assert describe_condition(Condition.model_validate(condition)) == words


def test_a_segment_names_its_environments() -> None:
    rule = PhaseRule(name="r", environments=("production",), conditions=(EVERYONE, PRO))

    assert describe_segment(rule) == "plan is one of pro, team in production"


def test_a_rule_says_its_share_and_its_value() -> None:
    rule = ConfigRule(name="r", pass_percentage=12.5, conditions=(EVERYONE,), return_value={"max": 1})

    assert describe_rule(rule) == 'everyone, 12.5 % of them: {"max": 1}'


def test_each_difference_is_described() -> None:
    before = spec(defaultValue={"max": 1, "old": True}, rules=[GateRule(name="a"), GateRule(name="b")])
    after = spec(
        isEnabled=False,
        defaultValue={"max": 2, "new": []},
        rules=[GateRule(name="b", pass_percentage=50), GateRule(name="c")],
    )

    assert describe_change(before, after) == [
        "it is switched off",
        "the default has max 2 instead of 1",
        "the default also has new: []",
        "the default no longer has old (it was true)",
        "rule a is removed: everyone",
        "rule b: everyone, 50 % of them; it was everyone",
        "rule c is added: everyone",
    ]


def test_an_order_is_a_change_too() -> None:
    rules = [GateRule(name="a"), GateRule(name="b")]

    assert describe_change(spec(rules=rules), spec(rules=rules[::-1])) == ["the order of the rules changes"]


def test_no_change_says_so() -> None:
    assert describe_change(spec(), spec()) == ["nothing changes for anybody"]
