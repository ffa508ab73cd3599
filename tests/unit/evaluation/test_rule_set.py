"""Rules, percentages and overrides."""

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.evaluation.bucketing import hash64, percentage_test
from sluiceway.evaluation.results import Reason
from sluiceway.evaluation.rule_set import RuleSet
from sluiceway.evaluation.users import unit_id
from tests.support.builders import PROCESS


def passes(percentage: float, salt: str, unit: str) -> bool:
    return percentage_test(percentage, salt, unit_id("userID"))({"userID": unit})


def a_rule(id_: str = "r", *conditions: str, percent: float = 100, value: Any = True) -> dict[str, Any]:
    return {"name": id_, "id": id_, "passPercentage": percent, "returnValue": value, "conditions": conditions}


def a_spec(*rules: dict[str, Any], default: Any = False, enabled: bool = True) -> dict[str, Any]:
    return {
        "type": "feature_gate", "entity": "feature_gate", "salt": "salt", "enabled": enabled,
        "defaultValue": default, "rules": rules, "version": 1,
    }  # fmt: skip


def rules_of(kind: FeatureKind, **specs: Any) -> RuleSet:
    rules = RuleSet(PROCESS)
    rules.apply(
        RuleDocument.model_validate(
            {
                "kind": kind,
                "name": "f",
                "revision": 3,
                "eventTimeMs": 0,
                "trigger": "gate.f.1",
                "specs": specs,
            }
        )
    )
    return rules


def test_the_first_matching_rule_decides() -> None:
    conditions = {"us": {"type": "user_field", "field": "country", "operator": "any", "targetValue": ["US"]}}
    spec = a_spec(a_rule("us-only", "us", value=False), a_rule("rest"))
    rules = rules_of(FeatureKind.GATE, feature_gates={"f": spec}, condition_map=conditions)

    assert rules.gate({"country": "us"}, "f")[:3] == (False, "us-only", Reason.RULE)
    assert rules.gate({"country": "de"}, "f") == (True, "rest", Reason.RULE, 3, "gate.f.1")


def test_without_a_matching_rule_the_default_decides() -> None:
    conditions = {"never": {"type": "user_field", "field": "x", "operator": "any", "targetValue": []}}
    for enabled, rule_id in ((True, "default"), (False, "disabled")):
        spec = a_spec(a_rule("r", "never"), default={"n": 1}, enabled=enabled)
        rules = rules_of(FeatureKind.DYNAMIC_CONFIG, dynamic_configs={"f": spec}, condition_map=conditions)

        assert rules.config({}, "f")[:2] == ({"n": 1}, rule_id)


def test_a_rule_whose_percentage_excludes_the_user_decides() -> None:
    rules = rules_of(FeatureKind.GATE, feature_gates={"f": a_spec(a_rule("none", percent=0), a_rule("all"))})

    assert rules.gate({"userID": "u"}, "f")[:2] == (False, "none")


def test_an_unknown_condition_is_unsupported_and_never_an_exception() -> None:
    for conditions in ({}, {"c": {"type": "javascript"}}, {"c": {"type": "user_field", "operator": "like"}}):
        rules = rules_of(
            FeatureKind.GATE, feature_gates={"f": a_spec(a_rule("r", "c"))}, condition_map=conditions
        )

        assert rules.gate({}, "f")[:3] == (False, "", Reason.UNSUPPORTED)


def test_an_unknown_feature_is_off_and_empty() -> None:
    rules = RuleSet(PROCESS)

    assert rules.gate({}, "f") == (False, "", Reason.UNRECOGNIZED, 0, None)
    assert rules.config({}, "f").value == {}


def test_a_config_value_that_is_not_an_object_reads_as_empty() -> None:
    spec = a_spec(a_rule("r", value="text"))

    assert rules_of(FeatureKind.DYNAMIC_CONFIG, dynamic_configs={"f": spec}).config({}, "f").value == {}


def test_a_removed_feature_is_unknown() -> None:
    rules = rules_of(FeatureKind.GATE, feature_gates={"f": a_spec(a_rule())})

    rules.remove(FeatureKey(FeatureKind.GATE, "f"))

    assert len(rules) == 0
    assert rules.gate({}, "f").reason is Reason.UNRECOGNIZED


def test_a_bucket_is_computed_by_sha_256() -> None:
    digest = hashlib.sha256(b"spec.rule.user").digest()

    assert hash64("spec.rule.user") == int.from_bytes(digest[:8], "big")
    assert hash64("") == 0xE3B0C44298FC1C14
    assert passes(50, "spec.rule", "user") is (hash64("spec.rule.user") % 10_000 < 5_000)


@given(unit=st.text(max_size=20), low=st.floats(0, 100), high=st.floats(0, 100))
def test_users_stay_included_while_a_percentage_grows(unit: str, low: float, high: float) -> None:
    low, high = sorted((low, high))

    assert passes(high, "salt", unit) or not passes(low, "salt", unit)


def test_about_the_right_share_of_users_passes() -> None:
    share = sum(passes(33.3, "spec.rule", f"user-{n}") for n in range(5_000)) / 5_000

    assert 0.31 < share < 0.36
