"""Law 10: whatever cannot be published, no region receives a version that was taken back."""

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    RollBackTrigger,
    RollOutTrigger,
    SkipPhase,
    TriggerCommand,
)
from sluiceway.contracts.feature import Spec
from sluiceway.pipelines.projection import project
from sluiceway.pipelines.segments import Location
from sluiceway.pipelines.substitutes import TAKEN_BACK, LiveVersions, substitutes
from tests.support.builders import BAKE, EVERYONE, Ledger, a_catalogue, a_gate, a_phase, a_pipeline

from .test_rollback import NAMES, of_region

#: None: a change that goes live at once.
STEPS: tuple[type[TriggerCommand] | None, ...] = (
    *(AdvancePhase, ApprovePhase, SkipPhase) * 3,
    AbortTrigger,
    RollBackTrigger,
    RollOutTrigger,
    None,
)


def versions_of(ledger: Ledger) -> LiveVersions:
    specs: dict[int, Spec] = {}
    taken_back: set[str] = set()
    for event in ledger.events:
        if event.feature.base:
            specs.setdefault(event.feature.base.version, event.feature.base)
        if event.feature.trigger and event.feature.trigger.status in TAKEN_BACK:
            taken_back.add(event.feature.trigger.id)
    return LiveVersions(tuple(reversed(specs.values())), frozenset(taken_back))


@given(
    observe_ms=st.sampled_from((0, 10 * BAKE)),
    scope=st.sampled_from(("trigger", "phase")),
    steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=30),
)
def test_a_substitute_is_never_a_version_that_was_taken_back(
    observe_ms: int, scope: str, steps: list[type[TriggerCommand] | None]
) -> None:
    phases = [a_phase(name, review=name == "two", conditions=[of_region(name)]) for name in NAMES]
    ledger = Ledger(a_catalogue(a_pipeline(*phases, observe_for_ms=observe_ms, rollback_scope=scope)))
    ledger.save(a_gate())
    for number, step in enumerate(steps):
        trigger = ledger.feature.trigger
        is_active = ledger.feature.active_trigger is not None
        if step is None or trigger is None:
            rule = {**EVERYONE, "name": f"rule {number}"}
            ledger.save(a_gate(rule, releasePipelineID="release"), at_once=step is None)
        elif is_active or step is RollBackTrigger:
            ledger.act(step, after_ms=BAKE)
        else:
            ledger.save(a_gate({**EVERYONE, "name": f"rule {number}"}, releasePipelineID="release"))
    event, earlier = ledger.events[-1], versions_of(ledger)

    for feature in substitutes(event.feature, earlier):
        for name in NAMES:
            variant = event.model_copy(update={"feature": feature})
            document = project(variant, 1, Location("development", {"region": name}))
            if document is None:
                continue
            candidate = event.feature.candidate
            assert document.trigger not in earlier.taken_back, "law 10: it was taken back"
            assert candidate is None or document.trigger != candidate.trigger, "law 1: it is a candidate"
            assert not document.specs.overrides
