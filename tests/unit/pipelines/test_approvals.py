"""How many people must approve a phase, and who counts."""

import pytest
from pydantic import ValidationError

from sluiceway.contracts.commands import ApprovePhase, PauseTrigger, RollBackTrigger, UnpauseTrigger
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import ActionType, Approval, TriggerStatus
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.pipeline import Phase
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines.approvals import without_lapsed_approvals
from sluiceway.pipelines.transitions import with_approvals
from tests.support.builders import (
    BAKE,
    EVERYONE,
    NOW,
    Ledger,
    a_phase,
    a_release,
    happened,
    refused,
    unchanged,
)

AUTHOR = "ada"


def a_guarded_release(**approvals: object) -> Ledger:
    return a_release(a_phase("dev", approvals=approvals))


def approvers(ledger: Ledger) -> list[str]:
    return [given.actor_id for given in ledger.trigger.current_run.approvals]


def test_the_last_of_two_approvals_starts_the_phase_and_its_bake() -> None:
    ledger = a_guarded_release(count=2)

    first = happened(ledger.act(ApprovePhase, actor="bob", after_ms=1))
    waiting = ledger.trigger
    second = happened(ledger.act(ApprovePhase, actor="eve", after_ms=2))

    assert (first.type, second.type) == (EventType.APPROVAL_GIVEN, EventType.PHASE_APPROVED)
    assert (waiting.status, waiting.due_ms) == (TriggerStatus.WAITING_FOR_REVIEW, None)
    assert waiting.released == ()
    assert (ledger.trigger.status, ledger.trigger.due_ms) == (TriggerStatus.IN_PROGRESS, NOW + 3 + BAKE)
    assert approvers(ledger) == ["bob", "eve"]
    assert [a.actor_id for a in ledger.trigger.actions if a.type is ActionType.APPROVED_FOR] == ["bob", "eve"]


def test_a_person_counts_once() -> None:
    ledger = a_guarded_release(count=2)
    ledger.act(ApprovePhase, actor="bob")

    again = unchanged(ledger.act(ApprovePhase, actor="bob"))

    assert again.message == "bob has already approved 'dev' of gate.checkout.1; it has 1 of 2 approvals: bob"
    assert ledger.trigger.status is TriggerStatus.WAITING_FOR_REVIEW


def test_whoever_started_the_release_does_not_count_unless_the_phase_says_so() -> None:
    strict, lenient = a_guarded_release(), a_guarded_release(allowAuthor=True)

    refusal = refused(strict.act(ApprovePhase, actor=AUTHOR))
    event = happened(lenient.act(ApprovePhase, actor=AUTHOR))

    assert refusal.code is RefusalCode.NOT_ALLOWED
    assert "ada started gate.checkout.1 and cannot approve its phase 'dev'" in refusal.message
    assert event.type is EventType.PHASE_APPROVED


def test_a_phase_that_waits_again_asks_everybody_again() -> None:
    ledger = a_guarded_release(count=2)
    ledger.act(ApprovePhase, actor="bob")

    ledger.act(PauseTrigger, guardrail={"name": "errors"})
    ledger.act(UnpauseTrigger)

    assert ledger.trigger.status is TriggerStatus.WAITING_FOR_REVIEW
    assert approvers(ledger) == []


def test_a_phase_that_was_taken_back_asks_everybody_again() -> None:
    ledger = a_release(a_phase("dev", approvals={"count": 1}), rollback_scope="phase")
    ledger.act(ApprovePhase, actor="bob")

    ledger.act(RollBackTrigger)
    ledger.act(UnpauseTrigger)

    assert ledger.trigger.status is TriggerStatus.WAITING_FOR_REVIEW
    assert approvers(ledger) == []


def test_approvals_imply_a_review() -> None:
    rule = {**EVERYONE}
    phase = Phase.model_validate({"name": "dev", "approvals": {"count": 2}, "rules": [rule]})

    assert phase.required_review
    with pytest.raises(ValidationError, match="approvals need a review"):
        Phase.model_validate(
            {"name": "dev", "requiredReview": False, "approvals": {"count": 2}, "rules": [rule]}
        )


def test_an_approval_stored_by_an_older_version_stays_as_it_is() -> None:
    ledger = a_guarded_release(count=2)
    stored = Approval.model_validate_json('{"actorID":"bob","timeMs":1}')
    waiting = with_approvals(ledger.trigger, (stored,))
    feature = ledger.feature.changed(trigger=waiting)

    counted = without_lapsed_approvals(feature, lambda key_id: None, NOW)

    assert counted.trigger == waiting


def test_an_approval_with_a_key_that_was_revoked_meanwhile_is_refused() -> None:
    ledger = a_guarded_release()
    grants = (Grant(role=Role.APPROVER),)
    bob = Identity(name="bob", grants=grants, vouched_by="3f9a11c2", key_created_ms=1)

    refusal = refused(ledger.act(ApprovePhase, actor="bob", identity=bob))

    assert refusal.code is RefusalCode.NOT_ALLOWED
    assert refusal.message == "key '3f9a11c2' was revoked or never created; use a valid key"
    assert ledger.trigger.status is TriggerStatus.WAITING_FOR_REVIEW
