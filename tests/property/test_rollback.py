"""Roll-backs of every scope, under any order of commands: what regions hold follows what is released."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    PauseTrigger,
    RollBackTrigger,
    RollOutTrigger,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import Feature, TriggerStatus
from sluiceway.pipelines.projection import project
from sluiceway.pipelines.segments import Location
from tests.support.builders import BAKE, EVERYONE, Ledger, a_catalogue, a_gate, a_phase, a_pipeline

NAMES = ("one", "two", "three", "four")
COMMANDS: tuple[type[TriggerCommand], ...] = (
    AdvancePhase,
    ApprovePhase,
    SkipPhase,
    UnpauseTrigger,
    PauseTrigger,
    RollBackTrigger,
    RollBackTrigger,
)
ENDINGS: tuple[type[TriggerCommand], ...] = (RollOutTrigger, AbortTrigger)
STEPS = st.lists(st.sampled_from(COMMANDS * 3 + ENDINGS), min_size=1, max_size=25)


def of_region(name: str) -> dict[str, Any]:
    return {"type": "custom_field", "field": "region", "operator": "any", "targetValue": [name]}


def a_started_release(reviews: list[bool], scope: str, observe_ms: int) -> Ledger:
    """Return a gate whose phases cover one region each."""
    phases = [
        a_phase(name, review=review, conditions=[of_region(name)])
        for name, review in zip(NAMES, reviews, strict=True)
    ]
    pipeline = a_pipeline(*phases, rollback_scope=scope, observe_for_ms=observe_ms)
    ledger = Ledger(a_catalogue(pipeline))
    ledger.save(a_gate())
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    return ledger


def holders(event: FeatureEvent) -> set[str]:
    """Return the regions that receive the candidate after an event."""
    found = {name: project(event, 1, Location("development", {"region": name})) for name in NAMES}
    trigger = event.feature.trigger
    assert trigger
    return {name for name, document in found.items() if document and document.trigger == trigger.id}


def released(feature: Feature) -> list[str]:
    assert feature.trigger
    return [phase.id for phase in feature.trigger.released]


@given(
    reviews=st.lists(st.booleans(), min_size=len(NAMES), max_size=len(NAMES)),
    scope=st.sampled_from(("trigger", "phase")),
    observe_ms=st.sampled_from((0, 10 * BAKE)),
    steps=STEPS,
)
def test_regions_hold_what_is_released_and_nothing_that_was_taken_back(
    reviews: list[bool], scope: str, observe_ms: int, steps: list[type[TriggerCommand]]
) -> None:
    ledger = a_started_release(reviews, scope, observe_ms)
    rules_before = ledger.feature.base and ledger.feature.base.rules

    for step in steps:
        before = ledger.feature
        event = ledger.act(step, after_ms=BAKE)
        if not isinstance(event, FeatureEvent):
            assert ledger.feature == before
            continue
        after = event.feature
        assert after.trigger
        if event.type is EventType.PHASE_ROLLED_BACK:
            assert scope == "phase"
            assert released(after) == released(before)[:-1]
            assert after.trigger.status is TriggerStatus.PAUSED
        elif after.trigger.status.is_active:
            assert set(released(before)) <= set(released(after))
        if after.trigger.status.is_active:
            assert holders(event) == set(released(after))
            assert after.base == before.base
        elif after.trigger.status is TriggerStatus.COMPLETED:
            assert holders(event) == set(NAMES)
        else:
            assert holders(event) == set()
            assert after.candidate is None
            assert after.base
            assert after.base.rules == rules_before
        if event.type is EventType.TRIGGER_ROLLED_BACK and before.trigger:
            was_completed = before.trigger.status is TriggerStatus.COMPLETED
            assert was_completed <= (observe_ms > 0)
            assert after.versions == before.versions + was_completed
