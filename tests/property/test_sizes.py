"""Whatever is saved at the limit, every later step fits into a message, with the worst texts and headers."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    ArchiveFeature,
    ExtendBake,
    FeatureCommand,
    PauseTrigger,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.persons import Account
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.message_size import header_bytes
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue
from sluiceway.pipelines.event_sizes import decide_within
from sluiceway.pipelines.message_limits import MESSAGE_BYTES_MAX, REFERENCE_BYTES_MAX, STATE_BYTES_MAX
from sluiceway.pipelines.reference_graph import ReferenceGraph
from tests.support.builders import Ledger, a_catalogue, a_config, a_freeze, a_phase, a_pipeline, happened

STEPS: tuple[type[TriggerCommand], ...] = (
    *(AdvancePhase, ApprovePhase, SkipPhase, PauseTrigger, UnpauseTrigger, ExtendBake) * 3,
    RollBackTrigger,
    AbortTrigger,
    RollOutTrigger,
)
#: A character that takes six bytes in JSON, and one that takes four.
WORST, LONG = "\x01", "\U00020000"
#: Names of people may have no such character, but every one of them may take four bytes.
PEOPLE = tuple(f"{letter}{LONG * 199}" for letter in "abcdefghijklmnopqrst")
REFERENCES = [f"{n:0100}" for n in range(REFERENCE_BYTES_MAX // 101)]
FREEZES = tuple(a_freeze(f"{n:0100}") for n in range(150))
EVIDENCE = {"name": "errors", "text": "x" * 60_000}


def a_full_ledger(phases: int, scope: str, bytes_: int) -> Ledger:
    """Return a release of many phases, saved with so many bytes of a value."""
    approvals = {"count": 20, "allowAuthor": True}
    plan = [
        a_phase(f"{n:0100}", bake_ms=0, approvals=approvals if n % 2 else None, guardrails=())
        for n in range(phases)
    ]
    pipeline = a_pipeline(*plan, rollbackScope=scope, observeForMs=10**6)
    catalogue = replace(a_catalogue(pipeline), references=ReferenceGraph.of(dict.fromkeys(REFERENCES, ())))
    rule: dict[str, Any] = {"name": "a", "returnValue": {}}
    rule["conditions"] = [{"type": "passes_gate", "targetValue": name} for name in REFERENCES]
    ledger = Ledger(catalogue)
    happened(ledger.save(a_config({}, rule)))
    document = a_config({"text": "x" * bytes_}, releasePipelineID="release")
    happened(ledger.decide(SaveFeature(actor=PEOPLE[0], feature=document, reason=WORST * 2_000)))
    return ledger


def largest(phases: int, scope: str) -> Ledger:
    """Return the largest release that may be saved."""
    spare = STATE_BYTES_MAX - a_full_ledger(phases, scope, 0).events[-1].full_size
    ledger = a_full_ledger(phases, scope, spare)
    assert ledger.events[-1].full_size == STATE_BYTES_MAX
    return ledger


LARGEST = [largest(phases, scope) for phases in (2, 50) for scope in ("trigger", "phase")]


@settings(max_examples=25)
@given(
    ledger=st.sampled_from(LARGEST),
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(PEOPLE)), min_size=5, max_size=60),
    is_frozen=st.booleans(),
)
def test_every_later_step_of_the_largest_release_fits_into_a_message(
    ledger: Ledger, steps: list[tuple[type[TriggerCommand], str]], is_frozen: bool
) -> None:
    state, catalogue = ledger.feature, ledger.catalogue
    if is_frozen:
        catalogue = replace(catalogue, freezes={freeze.name: freeze for freeze in FREEZES})

    for number, (model, actor) in enumerate(steps):
        command = worst(model, state, actor, number)
        state = appended(state, command, ledger.now + number * 60_000, catalogue) or state
    off = SaveFeature(actor=PEOPLE[1], feature=a_config({}, isEnabled=False), reason=WORST * 2_000)
    archive = ArchiveFeature(actor=PEOPLE[1], kind=FeatureKind.DYNAMIC_CONFIG, name="limits")
    for last in (off, archive):
        state = appended(state, last, ledger.now + 10**8, catalogue) or state


def test_twenty_approvals_of_each_phase_fit_although_those_of_earlier_phases_are_left_out() -> None:
    ledger = largest(20, "trigger")
    state, steps = ledger.feature, 0
    left_out: set[str] = set()

    while state.trigger and state.trigger.status.is_active:
        waits = state.trigger.status is TriggerStatus.WAITING_FOR_REVIEW
        for actor in PEOPLE if waits else PEOPLE[:1]:
            command = worst(ApprovePhase if waits else AdvancePhase, state, actor, 3 * steps + 1)
            event = happened(decide(state, command, ledger.now + steps, ledger.catalogue))
            bytes_max = MESSAGE_BYTES_MAX - header_bytes(headers_of(event, "/sluiceway/scheduler"))
            event = happened(decide_within(event, state, command, ledger.now + steps, bytes_max))
            state, steps = event.feature, steps + 1
            left_out.update(event.left_out)
            assert set(event.left_out) <= {
                "evidence",
                "older actions",
                "approvals of earlier phases",
            }

    assert "approvals of earlier phases" in left_out
    assert state.trigger
    assert state.trigger.status is TriggerStatus.COMPLETED
    assert steps == 10 + 10 * (len(PEOPLE) + 1)


def worst(model: type[TriggerCommand], state: Feature, actor: str, number: int) -> TriggerCommand:
    """Return a command for the current phase with the longest texts that it may have."""
    assert state.trigger
    fields: dict[str, Any] = {
        "id": f"{number:06}{WORST * 194}",
        "actor": actor,
        "reason": WORST * 2_000,
        "trigger": state.trigger.id,
        "phase_id": state.trigger.current_run.phase.id,
        "override_freeze": True,
        "guardrail": EVIDENCE,
        "alert": EVIDENCE,
    }
    account = Account(
        issuer=f"https://{'x' * 490}", subject=f"{actor}{LONG * 55}", email=f"{actor[0]}{LONG * 319}"
    )
    fields["identity"] = Identity(
        name=actor, grants=[Grant(role=Role.ADMIN)], vouched_by="k" * 100, account=account
    )
    if model is AdvancePhase and number % 3 == 0:
        fields["holds"] = tuple(f"{number} {n} {WORST * 3_000}" for n in range(100))
    return model(**{name: value for name, value in fields.items() if name in model.model_fields})


def appended(state: Feature, command: FeatureCommand, now_ms: int, catalogue: Catalogue) -> Feature | None:
    """Return the state after a command, whose event must fit into a message as it is."""
    event = decide(state, command, now_ms, catalogue)
    if not isinstance(event, FeatureEvent):
        return None
    size = len(event.to_json()) + header_bytes(headers_of(event, "/sluiceway/scheduler"))
    assert size <= MESSAGE_BYTES_MAX - 1_000, f"{event.type} has {size} bytes"
    assert event.left_out == ()
    return event.feature
