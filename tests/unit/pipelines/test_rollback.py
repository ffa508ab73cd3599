"""How far a rollback goes, and until when."""

from typing import Any

import pytest

from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    ArchiveFeature,
    PauseTrigger,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SkipPhase,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.replies import RefusalCode
from tests.support.builders import EVERYONE, Ledger, a_gate, a_phase, a_release, happened, refused

HOUR_MS = 3_600_000
OBSERVED = {"observe_for_ms": HOUR_MS}
BY_PHASE = {"rollback_scope": "phase"}


def released_by(ledger: Ledger) -> list[str]:
    return [phase.id for phase in ledger.trigger.released]


def test_an_observed_release_is_rolled_back_to_what_was_live_before() -> None:
    ledger = a_release(**OBSERVED)
    before = ledger.feature.base
    ledger.act(RollOutTrigger)

    event = happened(ledger.act(RollBackTrigger, after_ms=HOUR_MS - 1, reason="errors"))

    assert event.type is EventType.TRIGGER_ROLLED_BACK
    assert ledger.trigger.status is TriggerStatus.ROLLED_BACK
    assert before
    assert ledger.feature.base == before.model_copy(update={"version": 3})
    assert ledger.feature.versions == 3
    assert ledger.feature.previous is None


def test_a_feature_that_was_new_is_gone_again() -> None:
    ledger = Ledger(a_release(**OBSERVED).catalogue)
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    ledger.act(RollOutTrigger)

    ledger.act(RollBackTrigger)

    assert ledger.feature.base is None


def test_after_its_observation_a_release_stays() -> None:
    ledger = a_release(**OBSERVED)
    ledger.act(RollOutTrigger)

    refusal = refused(ledger.act(RollBackTrigger, after_ms=HOUR_MS))

    assert refusal.code is RefusalCode.TRIGGER_ENDED


def test_without_observation_a_completed_release_stays() -> None:
    ledger = a_release()
    ledger.act(RollOutTrigger)

    assert refused(ledger.act(RollBackTrigger)).code is RefusalCode.TRIGGER_ENDED
    assert ledger.feature.previous is None


def test_a_release_that_was_superseded_is_not_observed_any_more() -> None:
    archive = ArchiveFeature(actor="ada", kind=FeatureKind.GATE, name="checkout")
    for command in (SaveFeature(actor="ada", feature=a_gate()), archive):
        ledger = a_release(**OBSERVED)
        ledger.act(RollOutTrigger)
        happened(ledger.decide(command))

        assert refused(ledger.act(RollBackTrigger)).code is RefusalCode.TRIGGER_ENDED


def test_people_cannot_abort_what_is_merely_observed() -> None:
    ledger = a_release(**OBSERVED)
    ledger.act(RollOutTrigger)

    assert refused(ledger.act(AbortTrigger)).code is RefusalCode.TRIGGER_ENDED


def test_only_the_newest_phase_is_taken_back() -> None:
    ledger = a_release(a_phase("one"), a_phase("two"), a_phase("three", review=True), **BY_PHASE)
    ledger.act(SkipPhase)
    ledger.act(SkipPhase)
    assert ledger.trigger.status is TriggerStatus.WAITING_FOR_REVIEW

    event = happened(ledger.act(RollBackTrigger))

    assert event.type is EventType.PHASE_ROLLED_BACK
    assert (ledger.trigger.status, ledger.trigger.current_run.phase.id) == (TriggerStatus.PAUSED, "two")
    assert released_by(ledger) == ["one"]
    assert ledger.feature.candidate is not None


def test_each_further_roll_back_takes_another_phase_and_the_last_one_ends_it() -> None:
    ledger = a_release(a_phase("one"), a_phase("two"), **BY_PHASE)
    ledger.act(SkipPhase)

    released = []
    for _ in range(2):
        ledger.act(RollBackTrigger)
        released.append(released_by(ledger))
    ledger.act(RollBackTrigger)

    assert released == [["one"], []]
    assert ledger.trigger.status is TriggerStatus.ROLLED_BACK
    assert ledger.feature.candidate is None


def test_a_phase_that_was_taken_back_is_entered_anew_with_its_review() -> None:
    ledger = a_release(a_phase("one"), a_phase("two", review=True), **BY_PHASE)
    ledger.act(SkipPhase)
    ledger.act(ApprovePhase)
    ledger.act(RollBackTrigger)

    ledger.act(UnpauseTrigger)
    assert ledger.trigger.status is TriggerStatus.WAITING_FOR_REVIEW
    ledger.act(ApprovePhase)

    assert released_by(ledger) == ["one", "two"]


def test_skipping_a_phase_that_was_taken_back_leaves_it_out() -> None:
    ledger = a_release(a_phase("one"), a_phase("two"), a_phase("three"), **BY_PHASE)
    ledger.act(SkipPhase)
    ledger.act(RollBackTrigger)

    ledger.act(SkipPhase)

    assert released_by(ledger) == ["one", "three"]


@pytest.mark.parametrize(("guardrail", "is_paused"), [({"name": "errors"}, True), ({}, False)])
def test_only_a_guardrail_pauses_what_waits_for_its_review(
    guardrail: dict[str, Any], is_paused: bool
) -> None:
    ledger = a_release(a_phase("one"), a_phase("two", review=True))
    ledger.act(SkipPhase)

    ledger.act(PauseTrigger, guardrail=guardrail)

    assert (ledger.trigger.status is TriggerStatus.PAUSED) is is_paused
    ledger.act(UnpauseTrigger)
    assert ledger.trigger.status is TriggerStatus.WAITING_FOR_REVIEW
