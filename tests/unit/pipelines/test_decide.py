"""Each transition, and each refusal."""

import pytest

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    FeatureCommand,
    PauseTrigger,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import ActionType, TriggerStatus
from sluiceway.contracts.replies import RefusalCode
from tests.support.builders import (
    BAKE,
    EVERYONE,
    NOW,
    Ledger,
    a_catalogue,
    a_gate,
    a_phase,
    a_pipeline,
    a_release,
    happened,
    refused,
    unchanged,
)


def test_a_bake_that_is_over_starts_the_next_phase_and_the_last_completes() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod"))

    advanced = happened(ledger.act(AdvancePhase, after_ms=BAKE))
    completed = happened(ledger.act(AdvancePhase, after_ms=BAKE))

    assert advanced.type is EventType.PHASE_ADVANCED
    assert advanced.phase_id == "dev"
    assert completed.type is EventType.TRIGGER_COMPLETED
    assert completed.feature.candidate is None
    assert completed.feature.base
    assert completed.feature.base.trigger == "gate.checkout.1"
    assert ledger.trigger.status is TriggerStatus.COMPLETED


def test_a_bake_that_is_not_over_cannot_be_left() -> None:
    refusal = refused(a_release().act(AdvancePhase, after_ms=BAKE - 1))

    assert refusal.code is RefusalCode.NOT_DUE


def test_a_late_advance_lets_the_next_phase_bake_in_full() -> None:
    ledger = a_release()

    ledger.act(AdvancePhase, after_ms=10 * BAKE)

    assert ledger.trigger.due_ms == NOW + 11 * BAKE


def test_without_a_bake_the_phase_is_due_at_once() -> None:
    ledger = a_release(a_phase("dev", bake_ms=0), a_phase("prod"))

    assert happened(ledger.act(AdvancePhase)).type is EventType.PHASE_ADVANCED


def test_a_phase_that_needs_review_waits_and_bakes_from_its_approval() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod", review=True))
    ledger.act(AdvancePhase, after_ms=BAKE)
    waiting = ledger.trigger

    ledger.act(ApprovePhase, after_ms=5 * BAKE, reason="fine")

    assert waiting.status is TriggerStatus.WAITING_FOR_REVIEW
    assert (waiting.current_run.started_ms, waiting.due_ms) == (None, None)
    assert ledger.trigger.current_run.started_ms == NOW + 6 * BAKE
    assert ledger.trigger.due_ms == NOW + 7 * BAKE
    assert ledger.trigger.actions[-1].type is ActionType.APPROVED_FOR


def test_a_pause_keeps_the_rest_of_the_bake() -> None:
    ledger = a_release()

    ledger.act(PauseTrigger, after_ms=BAKE // 3)
    paused = ledger.trigger
    ledger.act(UnpauseTrigger, after_ms=7 * BAKE)

    assert (paused.status, paused.due_ms, paused.remaining_ms) == (
        TriggerStatus.PAUSED,
        None,
        BAKE - BAKE // 3,
    )
    assert ledger.trigger.due_ms == ledger.now + BAKE - BAKE // 3
    assert [phase.id for phase in paused.released] == ["dev"]


def test_a_paused_trigger_does_not_advance() -> None:
    ledger = a_release()
    ledger.act(PauseTrigger)

    assert refused(ledger.act(AdvancePhase, after_ms=10 * BAKE)).code is RefusalCode.NOT_POSSIBLE


def test_skipping_a_bake_starts_the_next_phase_now() -> None:
    ledger = a_release()

    ledger.act(SkipPhase, after_ms=1)

    assert ledger.trigger.current == 1
    assert [phase.id for phase in ledger.trigger.released] == ["dev", "prod"]


def test_skipping_a_paused_bake_lets_the_next_phase_run() -> None:
    ledger = a_release()
    ledger.act(PauseTrigger)

    ledger.act(SkipPhase)

    assert ledger.trigger.status is TriggerStatus.IN_PROGRESS


def test_a_phase_skipped_while_it_waits_for_review_is_not_released() -> None:
    ledger = a_release(a_phase("dev", review=True), a_phase("prod"))

    ledger.act(SkipPhase)

    assert [phase.id for phase in ledger.trigger.released] == ["prod"]
    assert ledger.trigger.phases[0].skipped


def test_skipping_the_last_phase_completes() -> None:
    ledger = a_release(a_phase("dev"))

    assert happened(ledger.act(SkipPhase)).feature.candidate is None
    assert ledger.trigger.status is TriggerStatus.COMPLETED


@pytest.mark.parametrize(
    ("command", "type_", "status"),
    [
        (AbortTrigger, EventType.TRIGGER_ABORTED, TriggerStatus.ABORTED),
        (RollBackTrigger, EventType.TRIGGER_ROLLED_BACK, TriggerStatus.ROLLED_BACK),
    ],
)
def test_taking_a_candidate_back_leaves_the_base_and_is_final(
    command: type[TriggerCommand], type_: EventType, status: TriggerStatus
) -> None:
    ledger = a_release()
    base = ledger.feature.base

    event = happened(ledger.act(command, reason="it burns"))

    assert (event.type, event.reason) == (type_, "it burns")
    assert (event.feature.base, event.feature.candidate) == (base, None)
    assert ledger.trigger.status is status
    assert refused(ledger.act(RollOutTrigger)).code is RefusalCode.TRIGGER_ENDED


def test_a_roll_back_carries_its_alert() -> None:
    event = happened(a_release().act(RollBackTrigger, alert={"name": "Boom"}))

    assert event.alert == {"name": "Boom"}


def test_a_full_rollout_completes_from_any_phase() -> None:
    ledger = a_release(a_phase("dev", review=True), a_phase("prod"))

    event = happened(ledger.act(RollOutTrigger))

    assert event.type is EventType.TRIGGER_ROLLED_OUT
    assert event.feature.base
    assert event.feature.base.rules
    assert ledger.trigger.status is TriggerStatus.COMPLETED


def test_a_stale_click_is_refused_with_what_is_possible() -> None:
    ledger = a_release()
    ledger.act(SkipPhase)

    refusal = refused(ledger.act(SkipPhase, phase_id="dev"))

    assert refusal.code is RefusalCode.STALE_PHASE
    assert "'prod'" in refusal.message
    assert refusal.possible == ("pause", "skip", "extend", "abort", "roll_out")


def test_what_the_status_does_not_allow_is_refused() -> None:
    ledger = a_release()

    for command in (ApprovePhase, UnpauseTrigger):
        assert refused(ledger.act(command)).code is RefusalCode.NOT_POSSIBLE


def test_triggers_that_are_not_there_are_refused() -> None:
    ledger = a_release()
    ledger.act(AbortTrigger)
    ledger.save(a_gate({**EVERYONE, "name": "other"}, releasePipelineID="release"))

    old = refused(ledger.decide(AbortTrigger(actor="ada", trigger="gate.checkout.1")))
    future = refused(ledger.decide(AbortTrigger(actor="ada", trigger="gate.checkout.3")))
    nothing = refused(Ledger().decide(AbortTrigger(actor="ada", trigger="gate.checkout.1")))

    assert old.code is RefusalCode.TRIGGER_ENDED
    assert {future.code, nothing.code} == {RefusalCode.UNKNOWN_TRIGGER}
    assert ledger.trigger.id == "gate.checkout.2"


def test_a_held_phase_shows_why_and_is_told_once() -> None:
    ledger = a_release()

    held = happened(ledger.act(AdvancePhase, after_ms=BAKE, holds=("prod is quiet",)))
    again = unchanged(ledger.act(AdvancePhase, holds=("prod is quiet",)))
    left = happened(ledger.act(AdvancePhase))

    assert held.type is EventType.PHASE_HELD
    assert held.feature.trigger
    assert held.feature.trigger.held == ("prod is quiet",)
    assert "prod is quiet" in again.message
    assert left.type is EventType.PHASE_ADVANCED
    assert ledger.trigger.held == ()


def test_a_command_sent_twice_is_applied_once() -> None:
    ledger = a_release()
    skip = SkipPhase(id="skip-1", actor="ada", trigger=ledger.trigger.id, phase_id="dev")
    ledger.decide(skip)

    assert unchanged(ledger.decide(skip))
    assert len(ledger.trigger.actions) == 2


def test_every_action_records_who_when_where_and_why() -> None:
    ledger = a_release()

    ledger.act(PauseTrigger, after_ms=7, reason="lunch")

    action = ledger.trigger.actions[-1]
    assert (action.type, action.actor_id, action.time_ms) == (ActionType.PAUSED, "ada", NOW + 7)
    assert (action.phase_id, action.reason) == ("dev", "lunch")


def test_a_trigger_keeps_its_own_copy_of_the_pipeline() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod"))
    ledger.catalogue = a_catalogue(a_pipeline(a_phase("other")))

    ledger.act(AdvancePhase, after_ms=BAKE)

    assert ledger.trigger.current_run.phase.id == "prod"


def test_only_commands_of_features_are_decided_here() -> None:
    with pytest.raises(TypeError):
        Ledger().decide(FeatureCommand(actor="ada"))
    assert SaveFeature.verb == "save_feature"
