"""Reasons, error codes, variants and metadata of OpenFeature, from the answers of real rules."""

from typing import Any

import pytest

from sluiceway.client.flags import ERROR_CODES, REASONS, evaluate_flag, metadata_of, variant_of
from sluiceway.client.testing import FakeClient
from sluiceway.evaluation.results import Evaluation, Reason
from sluiceway.evaluation.rule_set import RuleSet
from sluiceway.evaluation.users import User
from sluiceway.pipelines.projection import project
from sluiceway.pipelines.segments import Location
from tests.support.builders import EVERYONE, PROCESS, Ledger, a_config, a_gate, happened

DEV = Location("development", {})
ADA = User("ada", custom={"plan": "pro"})
PRO = {
    "name": "pro",
    "conditions": [{"type": "custom_field", "field": "plan", "operator": "any", "targetValue": ["pro"]}],
}


def answer_of(document: Any, user: User = ADA) -> Evaluation:
    rules = RuleSet(PROCESS)
    ledger = Ledger()
    projected = project(happened(ledger.save(document)), 7, DEV)
    assert projected
    rules.apply(projected)
    return evaluate_flag(rules, user, document.name)


@pytest.mark.parametrize(
    ("document", "reason", "variant"),
    [
        (a_gate(EVERYONE), "TARGETING_MATCH", "everyone"),
        (a_gate(PRO), "TARGETING_MATCH", "pro"),
        (a_gate({**EVERYONE, "passPercentage": 50}), "SPLIT", "everyone"),
        (a_gate(), "STATIC", "default"),
        (a_gate(EVERYONE, isEnabled=False), "DISABLED", "disabled"),
        (a_config({"max": 3}), "STATIC", "default"),
        (a_config({"max": 3}, {**PRO, "returnValue": {"max": 9}}), "TARGETING_MATCH", "pro"),
    ],
)
def test_what_decided_is_the_reason_and_the_variant(document: Any, reason: str, variant: str) -> None:
    answer = answer_of(document)

    assert (REASONS[answer.reason], variant_of(answer)) == (reason, variant)


def test_nobody_matched_is_the_default() -> None:
    answer = answer_of(a_gate(PRO), User("eve"))

    assert (answer.value, REASONS[answer.reason], variant_of(answer)) == (False, "DEFAULT", "default")


@pytest.mark.parametrize("key", ["nothing", "gate.nothing", "dynamic_config.nothing", "gate.", "", "."])
def test_what_is_not_there_is_not_found(key: str) -> None:
    answer = evaluate_flag(RuleSet(PROCESS), ADA, key)

    assert ERROR_CODES[answer.reason] == "FLAG_NOT_FOUND"


@pytest.mark.parametrize("key", ["dynamic_config.checkout", "gate.limits", "segment.checkout"])
def test_a_kind_that_is_named_is_the_only_one_asked(key: str) -> None:
    rules = FakeClient(gates={"checkout": True}, configs={"limits": {}})._rules

    assert evaluate_flag(rules, ADA, key).reason is Reason.UNRECOGNIZED


def test_metadata_names_the_trigger_only_if_there_is_one() -> None:
    plain = Evaluation(True, "everyone", Reason.RULE, 7)
    released = plain._replace(trigger="gate.checkout.1")

    assert metadata_of(plain) == {"ruleID": "everyone", "revision": 7}
    assert metadata_of(released) == {"ruleID": "everyone", "revision": 7, "triggerID": "gate.checkout.1"}


def test_an_override_of_a_test_is_static_under_the_name_override() -> None:
    answer = FakeClient(gates={"checkout": True}).evaluate(ADA, "checkout")

    assert (REASONS[answer.reason], variant_of(answer)) == ("STATIC", "override")
