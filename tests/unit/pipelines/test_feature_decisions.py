"""What saving and archiving a feature does: live at once, a release, nothing, or a refusal."""

import pytest

from sluiceway.contracts.commands import (
    ArchiveFeature,
    RollOutTrigger,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines.spec_changes import spec_of
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

IN_DEVELOPMENT = {**EVERYONE, "environments": ["development"]}
IN_PRODUCTION = {**EVERYONE, "name": "prod", "environments": ["production"]}


def test_a_change_with_a_pipeline_starts_its_first_phase_at_once() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod"))

    trigger = ledger.trigger

    assert ledger.events[-1].type is EventType.TRIGGER_STARTED
    assert (trigger.id, trigger.status, trigger.current) == ("gate.checkout.1", TriggerStatus.IN_PROGRESS, 0)
    assert (trigger.phases[0].started_ms, trigger.due_ms) == (NOW, NOW + BAKE)
    assert ledger.feature.base
    assert not ledger.feature.base.rules
    assert ledger.feature.candidate


def test_a_first_version_with_a_pipeline_goes_through_it_even_without_effect() -> None:
    for gate in (a_gate(EVERYONE, releasePipelineID="release"), a_gate(releasePipelineID="release")):
        ledger = Ledger()

        event = happened(ledger.save(gate))

        assert event.type is EventType.TRIGGER_STARTED
        assert event.feature.base is None


def test_a_change_past_the_pipeline_goes_live_at_once_and_keeps_it() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod"))
    ledger.act(RollOutTrigger)
    off = a_gate(releasePipelineID="release", isEnabled=False)

    event = happened(ledger.save(off, at_once=True))

    assert event.type is EventType.FEATURE_CHANGED
    assert event.feature.base
    assert not event.feature.base.is_enabled
    assert event.feature.release_pipeline_id == "release"
    assert event.feature.active_trigger is None


def test_a_change_past_the_pipeline_does_not_pass_an_active_trigger() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod"))

    refusal = refused(ledger.save(a_gate(releasePipelineID="release"), at_once=True))

    assert refusal.code is RefusalCode.TRIGGER_ACTIVE


def test_a_change_of_opted_out_environments_alone_goes_live_at_once() -> None:
    ledger = Ledger(a_catalogue(a_pipeline(), opted_out=("development",)))
    ledger.save(a_gate(IN_PRODUCTION))

    live = happened(ledger.save(a_gate(IN_PRODUCTION, IN_DEVELOPMENT, releasePipelineID="release")))
    released = happened(ledger.save(a_gate(IN_DEVELOPMENT, releasePipelineID="release")))

    assert live.type is EventType.FEATURE_CHANGED
    assert released.type is EventType.TRIGGER_STARTED


def test_a_first_version_in_opted_out_environments_alone_goes_live_at_once() -> None:
    ledger = Ledger(a_catalogue(a_pipeline(), opted_out=("development",)))

    event = happened(ledger.save(a_gate(IN_DEVELOPMENT, releasePipelineID="release")))

    assert event.type is EventType.FEATURE_CHANGED


def test_the_same_version_again_is_no_change() -> None:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE))

    decision = unchanged(ledger.save(a_gate(EVERYONE)))

    assert "no effective change" in decision.message


def test_attaching_a_pipeline_or_describing_starts_nothing() -> None:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE))

    attached = happened(ledger.save(a_gate(EVERYONE, releasePipelineID="release")))
    described = happened(ledger.save(a_gate(EVERYONE, releasePipelineID="release", description="x")))

    assert attached.feature.release_pipeline_id == "release"
    assert (attached.type, described.type) == (EventType.FEATURE_CHANGED,) * 2
    assert described.feature.trigger is None


def test_a_second_change_is_refused_while_a_trigger_is_active() -> None:
    ledger = a_release()

    refusal = refused(ledger.save(a_gate(releasePipelineID="release", description="y")))

    assert refusal.code is RefusalCode.TRIGGER_ACTIVE
    assert "gate.checkout.1" in refusal.message


@pytest.mark.parametrize(
    ("gate", "code", "words"),
    [
        (a_gate({**EVERYONE, "environments": ["prod"]}), RefusalCode.INVALID, "unknown environment 'prod'"),
        (a_gate(EVERYONE, releasePipelineID="nope"), RefusalCode.UNKNOWN_PIPELINE, "unknown pipeline 'nope'"),
        (a_gate(EVERYONE, EVERYONE), RefusalCode.INVALID, "duplicate rule id"),
        (
            a_gate({"name": "x", "conditions": [{"type": "email", "operator": "like"}]}),
            RefusalCode.INVALID,
            "like",
        ),
        (a_gate({"name": "x", "conditions": [{"type": "email"}]}), RefusalCode.INVALID, "needs an operator"),
        (
            a_gate({"name": "x", "conditions": [{"type": "custom_field", "operator": "eq"}]}),
            RefusalCode.INVALID,
            "needs a field",
        ),
    ],
)
def test_a_version_that_cannot_work_is_refused(gate: object, code: RefusalCode, words: str) -> None:
    refusal = refused(Ledger().save(gate))  # type: ignore[arg-type]

    assert refusal.code is code
    assert words in refusal.message


def test_an_archived_feature_can_be_saved_again_as_a_first_version() -> None:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE))
    archive = ArchiveFeature(actor="ada", kind=FeatureKind.GATE, name="checkout")

    archived = happened(ledger.decide(archive))
    revived = happened(ledger.save(a_gate(EVERYONE, releasePipelineID="release")))

    assert archived.feature.archived
    assert not revived.feature.archived
    assert revived.type is EventType.TRIGGER_STARTED


def test_a_feature_that_is_not_there_cannot_be_archived() -> None:
    archive = ArchiveFeature(actor="ada", kind=FeatureKind.GATE, name="nothing")

    assert refused(Ledger().decide(archive)).code is RefusalCode.UNKNOWN_FEATURE


def test_rules_that_are_refused_now_can_still_be_switched_off_as_they_are() -> None:
    ledger = Ledger()
    ledger.save(
        a_gate({"name": "r", "conditions": [{"type": "email", "operator": "any", "targetValue": ["x"]}]})
    )
    older = {"name": "r", "conditions": [{"type": "email", "operator": "older", "targetValue": ["x"]}]}
    stored = spec_of(a_gate(older), 1, None)
    event = ledger.events[-1]
    ledger.events.append(event.model_copy(update={"feature": event.feature.changed(base=stored)}))

    changed = refused(ledger.save(a_gate(older, EVERYONE, isEnabled=False)))
    event = happened(ledger.save(a_gate(older, isEnabled=False, description="off for now")))

    assert changed.code is RefusalCode.INVALID
    assert event.feature.base
    assert not event.feature.base.is_enabled


def test_a_feature_is_switched_off_past_a_pipeline_that_is_gone() -> None:
    ledger = a_release(a_phase("dev"))
    ledger.act(RollOutTrigger)
    ledger.catalogue = a_catalogue()
    off = a_gate(EVERYONE, releasePipelineID="release", isEnabled=False)

    released = refused(ledger.save(off))
    event = happened(ledger.save(off, at_once=True))

    assert released.code is RefusalCode.UNKNOWN_PIPELINE
    assert event.feature.base
    assert not event.feature.base.is_enabled
