"""What is saved leaves room in a message for every later step; what takes something back always fits."""

from dataclasses import replace
from typing import Any

import pytest

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ArchiveFeature,
    FeatureCommand,
    PauseTrigger,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SavePipeline,
    SaveRegion,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import ActionType, DynamicConfig, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines.catalogue_decisions import PutDocument, Usage, decide_catalogue
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Decision
from sluiceway.pipelines.event_sizes import decide_within
from sluiceway.pipelines.message_limits import (
    ACTIONS_BYTES_MAX,
    CATALOGUE_DOCUMENT_BYTES_MAX,
    HOLD_BYTES_MAX,
    HOLDS_MAX,
    MESSAGE_BYTES_MAX,
    STATE_BYTES_MAX,
)
from sluiceway.pipelines.reference_graph import ReferenceGraph
from tests.support.builders import (
    BAKE,
    NOW,
    Ledger,
    a_catalogue,
    a_config,
    a_gate,
    a_phase,
    a_pipeline,
    a_region,
    a_release,
    an_oversized_event,
    happened,
    refused,
    unchanged,
)

#: Bytes that the event of an older version may leave free.
ALMOST_NOTHING = 300
ALERT = {"name": "Errors", "annotations": {"text": "x" * 50_000}}


def text_config(size: int, **fields: Any) -> DynamicConfig:
    return a_config({"text": "x" * size}, **fields)


def a_full_release(*phases: Any, **fields: Any) -> Ledger:
    """Return the release of a config that has almost as many bytes as may be saved."""
    ledger = Ledger(a_catalogue(a_pipeline(*phases, **fields)))
    happened(ledger.save(text_config(190_000)))
    happened(ledger.save(text_config(200_000, releasePipelineID="release")))
    return ledger


def decided_within(ledger: Ledger, command: FeatureCommand, bytes_max: int, *, after_ms: int = 0) -> Decision:
    """Decide a command as if messages could have so many bytes, and append its event."""
    ledger.now += after_ms
    decision = decide(ledger.state, command, ledger.now, ledger.catalogue)
    if isinstance(decision, FeatureEvent):
        decision = decide_within(decision, ledger.state, command, ledger.now, bytes_max)
    if isinstance(decision, FeatureEvent):
        ledger.events.append(decision)
    return decision


def size(event: FeatureEvent) -> int:
    return len(event.to_json())


def test_a_state_that_leaves_later_steps_no_room_is_refused_with_numbers() -> None:
    ledger = Ledger(a_catalogue(a_pipeline()))
    happened(ledger.save(text_config(200_000)))

    refusal = refused(ledger.save(text_config(200_500, releasePipelineID="release")))

    assert refusal.code is RefusalCode.TOO_LARGE
    assert f"at most {STATE_BYTES_MAX} are allowed" in refusal.message
    assert "the live version 200" in refusal.message
    assert "its pipeline release" in refusal.message
    assert "split it into several features, or list ids in a segment" in refusal.message


def test_the_copies_of_the_pipeline_count() -> None:
    conditions = [{"type": "user_id", "operator": "any", "targetValue": ["x" * 100_000]}]
    ledger = Ledger(a_catalogue(a_pipeline(a_phase(conditions=conditions))))

    happened(ledger.save(text_config(150_000, releasePipelineID="release")))
    ledger.act(AbortTrigger)

    assert refused(ledger.save(text_config(220_000, releasePipelineID="release")))


def test_a_broker_that_takes_less_is_given_less() -> None:
    ledger = Ledger(replace(a_catalogue(a_pipeline()), message_bytes_max=100_000))

    happened(ledger.save(text_config(30_000)))
    refusal = refused(ledger.save(text_config(50_000)))

    assert "at most 39000 are allowed" in refusal.message


def test_names_of_other_features_are_bounded_since_they_are_headers() -> None:
    names = [f"{n:0100}" for n in range(500)]
    catalogue = replace(a_catalogue(), references=ReferenceGraph.of(dict.fromkeys(names, ())))
    rule = {"name": "a", "conditions": [{"type": "passes_gate", "targetValue": name} for name in names]}

    refusal = refused(Ledger(catalogue).save(a_gate(rule)))

    assert refusal.code is RefusalCode.TOO_LARGE
    assert "refer to fewer features" in refusal.message


def test_an_ended_release_is_forgotten_rather_than_a_change_refused() -> None:
    conditions = [{"type": "user_id", "operator": "any", "targetValue": ["x" * 140_000]}]
    ledger = Ledger(a_catalogue(a_pipeline(a_phase(conditions=conditions))))
    ledger.save(text_config(1, releasePipelineID="release"))
    ledger.act(AbortTrigger)

    event = happened(ledger.save(text_config(200_000)))

    assert event.feature.trigger is None
    assert event.feature.runs == 1
    assert event.left_out == ("earlier release",)


@pytest.mark.parametrize("kind", ["pipeline", "region"])
def test_documents_of_the_catalogue_are_bounded(kind: str) -> None:
    long = "x" * CATALOGUE_DOCUMENT_BYTES_MAX
    phase = a_phase(conditions=[{"type": "user_id", "operator": "any", "targetValue": [long]}])
    command = {
        "pipeline": SavePipeline(actor="ada", pipeline=a_pipeline(phase)),
        "region": SaveRegion(actor="ada", region=a_region("eu", note=long)),
    }[kind]
    catalogue = a_catalogue()

    refusal = decide_catalogue(command, catalogue, Usage())

    assert not isinstance(refusal, PutDocument)
    assert f"at most {CATALOGUE_DOCUMENT_BYTES_MAX} are allowed" in refused(refusal).message


def test_a_stored_pipeline_that_is_too_large_today_may_stay() -> None:
    phase = a_phase(conditions=[{"type": "user_id", "operator": "any", "targetValue": ["x" * 200_000]}])
    pipeline = a_pipeline(phase)

    decision = decide_catalogue(SavePipeline(actor="ada", pipeline=pipeline), a_catalogue(pipeline), Usage())

    assert not isinstance(decision, PutDocument)
    assert "is unchanged" in unchanged(decision).message


def test_evidence_is_left_out_rather_than_a_roll_back_refused() -> None:
    ledger = a_full_release()
    command = RollBackTrigger(actor="monitor", trigger=ledger.trigger.id, alert=ALERT, reason="errors")

    event = happened(decided_within(ledger, command, 230_000))

    assert event.type is EventType.TRIGGER_ROLLED_BACK
    assert (event.alert, event.left_out) == ({}, ("evidence",))
    assert event.reason == "errors"


def test_null_and_empty_values_of_a_feature_are_stored() -> None:
    rule = {"name": "pro", "conditions": [{"type": "public"}], "returnValue": {"a": None, "b": ""}}
    ledger = Ledger(a_catalogue(a_pipeline()))
    happened(ledger.save(a_config({"c": None, "d": []}, rule, releasePipelineID="release")))

    event = ledger.events[-1]

    assert FeatureEvent.model_validate_json(event.to_json()) == event


def test_evidence_beyond_its_limit_is_left_out_of_every_event() -> None:
    ledger = a_release()
    large = {"text": "\x01" * 20_000}

    event = happened(ledger.act(RollBackTrigger, actor="monitor", alert=large, guardrail={"name": "errors"}))

    assert (event.alert, event.guardrail) == ({}, {"name": "errors"})
    assert event.left_out == ("alert",)


@pytest.mark.parametrize("model", [RollBackTrigger, AbortTrigger, PauseTrigger])
def test_a_state_without_room_of_an_older_version_is_taken_back_and_paused(
    model: type[TriggerCommand],
) -> None:
    ledger = a_full_release()
    bytes_max = size(ledger.events[-1]) + ALMOST_NOTHING
    fields: dict[str, Any] = {"alert": ALERT} if model is RollBackTrigger else {}
    if model is PauseTrigger:
        fields |= {"phase_id": "dev", "guardrail": {"name": "errors", "text": "x" * 5_000}}

    command = model(actor="ada", trigger=ledger.trigger.id, reason="x" * 2_000, **fields)
    event = happened(decided_within(ledger, command, bytes_max))

    assert not event.feature.trigger or event.feature.trigger.status is not TriggerStatus.IN_PROGRESS
    assert event.feature.base == ledger.events[0].feature.base
    assert size(event) <= bytes_max


def test_such_a_state_is_archived_and_switched_off() -> None:
    ledger = a_full_release()
    ledger.act(AbortTrigger)
    bytes_max = size(ledger.events[-1]) + 10
    off = SaveFeature(actor="ada", feature=text_config(190_000, isEnabled=False), at_once=True)
    archive = ArchiveFeature(actor="ada", kind=FeatureKind.DYNAMIC_CONFIG, name="limits", reason="x" * 2_000)

    switched_off = happened(decided_within(ledger, off, bytes_max))
    archived = happened(decided_within(ledger, archive, bytes_max))

    assert switched_off.feature.base
    assert not switched_off.feature.base.is_enabled
    assert archived.feature.archived


@pytest.mark.parametrize("at_once", [True, False])
def test_a_feature_that_is_too_large_today_is_switched_off_without_a_pipeline_too(at_once: bool) -> None:
    ledger = Ledger()
    ledger.events.append(an_oversized_event(text_config(600_000)))

    refused(ledger.save(text_config(600_001)))
    event = happened(ledger.save(text_config(600_000, isEnabled=False), at_once=at_once))

    assert event.feature.base
    assert not event.feature.base.is_enabled


def test_a_phase_whose_end_does_not_fit_is_held_once_with_a_text_that_stays() -> None:
    ledger = a_full_release(a_phase("dev"), a_phase("prod"))
    advance = AdvancePhase(actor="scheduler", trigger=ledger.trigger.id, phase_id="dev")
    left = happened(decide(ledger.state, advance, NOW + BAKE, ledger.catalogue))
    too_large = left.model_copy(update={"feature": left.feature.changed(salt="x" * 3_000)})
    bytes_max = size(ledger.events[-1]) + ALMOST_NOTHING

    held = happened(decide_within(too_large, ledger.state, advance, NOW + BAKE, bytes_max))
    again = decide_within(too_large, held.feature, advance, NOW + BAKE + 500, bytes_max)

    assert held.type is EventType.PHASE_HELD
    assert held.feature.trigger
    assert held.feature.trigger.held == (
        "the next step (phase_advanced) is too large for a message of the broker: abort the release",
    )
    unchanged(again)


def test_a_phase_that_cannot_be_taken_back_alone_is_taken_back_with_the_candidate() -> None:
    ledger = a_full_release(a_phase("dev"), a_phase("prod"), rollbackScope="phase")
    bytes_max = size(ledger.events[-1]) - 10_000
    command = RollBackTrigger(actor="monitor", trigger=ledger.trigger.id)

    event = happened(decided_within(ledger, command, bytes_max))

    assert event.type is EventType.TRIGGER_ROLLED_BACK
    assert event.feature.candidate is None


def test_what_does_not_fit_at_all_is_refused_with_numbers() -> None:
    ledger = a_full_release()
    roll_out = RollOutTrigger(actor="ada", trigger=ledger.trigger.id)

    refusal = refused(decided_within(ledger, roll_out, 1_000))

    assert refusal.code is RefusalCode.TOO_LARGE
    assert "at most 1000 are allowed" in refusal.message


def test_reasons_for_a_hold_are_bounded_and_the_last_one_says_how_many_more_there_are() -> None:
    ledger = a_release()
    holds = tuple(f"freeze {n} {'x' * 1_000}" for n in range(50))

    happened(ledger.act(AdvancePhase, holds=holds, after_ms=BAKE))

    held = ledger.trigger.held
    assert len(held) == HOLDS_MAX
    assert all(hold.startswith("freeze ") and len(hold.encode()) < HOLD_BYTES_MAX + 20 for hold in held)
    assert held[-1].endswith("(and 30 others)")
    unchanged(ledger.act(AdvancePhase, holds=holds))


def test_the_actions_of_a_release_are_bounded_but_the_last_of_each_type_is_kept() -> None:
    ledger = a_release(a_phase("dev", bake_ms=0))
    happened(ledger.act(PauseTrigger))
    happened(ledger.act(UnpauseTrigger))

    for number in range(200):
        happened(ledger.act(AdvancePhase, holds=(f"{number} {'x' * 400}",) * 10))

    actions = ledger.trigger.actions
    assert sum(len(action.to_json()) for action in actions) < ACTIONS_BYTES_MAX * 1.1
    assert {ActionType.UNPAUSED, ActionType.STARTED} < {action.type for action in actions}
    assert [action.time_ms for action in actions] == sorted(action.time_ms for action in actions)


def test_the_default_message_leaves_half_of_it_to_later_steps() -> None:
    assert 2 * STATE_BYTES_MAX < MESSAGE_BYTES_MAX - 65_535
