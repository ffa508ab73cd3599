"""Segments as features: their ids, their rules, and references to them."""

from typing import Any

from sluiceway.contracts.feature import Segment
from sluiceway.evaluation.compiled_conditions import ProcessContext, member_key
from sluiceway.evaluation.rule_set import RuleSet
from sluiceway.pipelines.projection import project
from sluiceway.pipelines.segments import Location
from tests.support.builders import Ledger, a_catalogue, a_gate, a_phase, a_pipeline

DEV = Location("development", {})
STAFF = {
    "name": "staff",
    "conditions": [{"type": "email", "operator": "str_ends_with_any", "targetValue": ["@example.com"]}],
}


def a_segment(*rules: dict[str, Any], **fields: Any) -> Segment:
    return Segment.model_validate({"name": "beta", "rules": list(rules), **fields})


def applied(*ledgers: Ledger, now_ms: int = 1_800_000_000_000) -> RuleSet:
    rules = RuleSet(ProcessContext(clock=lambda: now_ms))
    for ledger in ledgers:
        document = project(ledger.events[-1], 1, DEV)
        assert document
        rules.apply(document)
    return rules


def referring(*conditions: dict[str, Any]) -> Ledger:
    ledger = Ledger(a_catalogue())
    ledger.know("segment:beta")
    ledger.save(a_gate({"name": "only", "conditions": list(conditions)}))
    return ledger


def test_ids_become_a_list_of_digests_and_a_rule_on_it() -> None:
    ledger = Ledger(a_catalogue())
    ledger.save(a_segment(ids=["ada"]))

    document = project(ledger.events[-1], 1, DEV)

    assert document
    assert document.spec_name == "segment:beta"
    assert document.specs.member_lists == {"segment:beta": (member_key("ada"),)}
    assert [rule.id for rule in document.specs.feature_gates["segment:beta"].rules] == ["ids"]


def test_members_by_id_or_by_rule_pass_a_gate_on_the_segment() -> None:
    segment = Ledger(a_catalogue())
    segment.save(a_segment(STAFF, ids=["ada"]))
    passing = referring({"type": "passes_segment", "targetValue": "beta"})
    failing = referring({"type": "fails_segment", "targetValue": "beta"})
    users = ({"userID": "ada"}, {"email": "eve@EXAMPLE.com"}, {"userID": "eve"}, {"userID": "ADA"})

    inside, outside = applied(segment, passing), applied(segment, failing)

    assert [inside.check_gate(user, "checkout") for user in users] == [True, True, False, False]
    assert [outside.check_gate(user, "checkout") for user in users] == [False, False, True, True]


def test_a_segment_is_released_like_any_feature() -> None:
    pro = {"type": "custom_field", "field": "plan", "operator": "any", "targetValue": ["pro"]}
    phase = a_phase(environments=["development"], conditions=[pro])
    segment = Ledger(a_catalogue(a_pipeline(phase)))
    segment.save(a_segment(ids=["ada"]))
    segment.save(a_segment(ids=["ada", "bob"], releasePipelineID="release"))

    rules = applied(segment, referring({"type": "passes_segment", "targetValue": "beta"}))

    assert segment.trigger.id == "segment.beta.1"
    assert rules.check_gate({"userID": "bob", "custom": {"plan": "pro"}}, "checkout")
    assert not rules.check_gate({"userID": "bob"}, "checkout")
    assert rules.check_gate({"userID": "ada"}, "checkout")


def test_a_time_condition_is_evaluated_when_a_user_is_checked() -> None:
    past = referring({"type": "time", "operator": "after", "targetValue": "2000-01-01T00:00:00Z"})
    future = referring({"type": "time", "operator": "after", "targetValue": "2999-01-01T00:00:00Z"})

    assert applied(past).check_gate({}, "checkout")
    assert not applied(future).check_gate({}, "checkout")
