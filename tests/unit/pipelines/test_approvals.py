"""How many people must approve a phase, and who counts."""

import pytest
from pydantic import ValidationError

from sluiceway.contracts.commands import (
    ApprovePhase,
    PauseTrigger,
    RollBackTrigger,
    SaveFeature,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import ActionType, Approval, Trigger, TriggerStatus
from sluiceway.contracts.identity import CONSOLE, Grant, Identity, Role
from sluiceway.contracts.persons import Account
from sluiceway.contracts.pipeline import Phase
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines.approvals import without_lapsed_approvals
from sluiceway.pipelines.transitions import with_approvals
from tests.support.builders import (
    BAKE,
    EVERYONE,
    NOW,
    Ledger,
    a_gate,
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


ADMIN = (Grant(role=Role.ADMIN),)


def signed_in(name: str, subject: str = "1", email: str | None = None) -> Identity:
    account = Account(issuer="https://id.example/", subject=subject, email=email)
    return Identity(name=name, grants=ADMIN, vouched_by=CONSOLE, account=account)


def a_release_of(author: Identity, **approvals: object) -> Ledger:
    """Return a release that `author` has started, and whose phase waits for approvals."""
    ledger = a_release(a_phase("dev", approvals=approvals))
    fresh = Ledger(ledger.catalogue)
    fresh.save(a_gate())
    document = a_gate(EVERYONE, releasePipelineID="release")
    happened(fresh.decide(SaveFeature(actor=author.name, identity=author, feature=document)))
    return fresh


@pytest.mark.parametrize(
    "approver",
    [
        signed_in("Ada@example.com", "1", "Ada@example.com"),
        signed_in("ada@example.com", "2", "ada@example.com"),
        signed_in("lovelace@example.com", "1", "lovelace@example.com"),
        signed_in("ada", "3", "ADA@EXAMPLE.COM"),
        signed_in("ada\u200b@example.com", "3"),
        Identity(name=" ADA@example.com", grants=ADMIN, vouched_by=CONSOLE),
    ],
    ids=["other case", "reused mail", "changed mail", "other name", "invisible character", "key"],
)
def test_the_author_is_recognised_under_every_name(approver: Identity) -> None:
    ledger = a_release_of(signed_in("ada@example.com", "1", "ada@example.com"), count=1)

    refusal = refused(ledger.act(ApprovePhase, actor=approver.name, identity=approver))

    assert refusal.code is RefusalCode.NOT_ALLOWED
    assert "cannot approve its phase 'dev'" in refusal.message
    assert approvers(ledger) == []


def test_an_unverified_mail_does_not_make_somebody_the_author() -> None:
    ledger = a_release_of(signed_in("ada@example.com", "1", "ada@example.com"), count=1)
    bob = signed_in("bob", "2")

    event = happened(ledger.act(ApprovePhase, actor=bob.name, identity=bob))

    assert event.account == bob.account
    assert event.type is EventType.PHASE_APPROVED


def test_a_key_and_a_sign_in_of_one_person_are_one_approval() -> None:
    ledger = a_release_of(signed_in("ada@example.com"), count=2)
    mapped = Account(issuer="https://id.example", subject="7")
    key = Identity(name="bob's laptop", grants=ADMIN, vouched_by=CONSOLE, account=mapped)
    bob = signed_in("bob@example.com", "7", "bob@example.com")
    ledger.act(ApprovePhase, actor=bob.name, identity=bob)

    again = unchanged(ledger.act(ApprovePhase, actor=key.name, identity=key))

    assert "bob's laptop has already approved" in again.message
    assert approvers(ledger) == ["bob@example.com"]


def test_who_started_links_two_names_of_an_approver() -> None:
    author = signed_in("bob@old.example", "7", "bob@old.example")
    ledger = a_release_of(author, count=2, allowAuthor=True)
    later = signed_in("bob@new.example", "7", "bob@new.example")
    key = Identity(name="bob@old.example", grants=ADMIN, vouched_by=CONSOLE)
    happened(ledger.act(ApprovePhase, actor=later.name, identity=later))

    unchanged(ledger.act(ApprovePhase, actor=key.name, identity=key))

    assert approvers(ledger) == ["bob@new.example"]


def test_a_trigger_of_the_last_version_names_its_people_by_name_only() -> None:
    ledger = a_guarded_release(count=2)
    stored = ledger.trigger.to_json()
    assert b"ccount" not in stored
    old = Trigger.model_validate_json(stored)
    waiting = with_approvals(old, (Approval.model_validate_json('{"actorID":"Bob","timeMs":1}'),))
    feature = ledger.feature.changed(trigger=waiting)
    ledger.events.append(ledger.events[-1].model_copy(update={"feature": feature}))

    refused(ledger.act(ApprovePhase, actor="ADA"))
    unchanged(ledger.act(ApprovePhase, actor="bob"))
    happened(ledger.act(ApprovePhase, actor="eve"))

    assert approvers(ledger) == ["Bob", "eve"]
