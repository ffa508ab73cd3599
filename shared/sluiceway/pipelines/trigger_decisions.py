"""Commands to a trigger: state, command, now → the event that follows, or why none does.

What each action does and when it is allowed is defined in `actions.ACTIONS`.
"""

from typing import Any, assert_never

from pydantic_core import to_json

from ..contracts.commands import AdvancePhase, GuardrailCommand, PhaseCommand, RollBackTrigger, TriggerCommand
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import ActionType, Feature, Trigger, TriggerStatus
from ..contracts.identifiers import run_of
from ..contracts.replies import Refusal
from . import refusals, transitions
from .actions import ACTIONS, ActionSpec, possible_actions
from .decision import NO_EVIDENCE, Decision, Evidence, Unchanged, event_of
from .message_limits import EVIDENCE_BYTES_MAX, bounded_holds
from .rollbacks import restored
from .transitions import Variant


def decide_trigger(state: Feature | None, command: TriggerCommand, now_ms: int) -> Decision:
    """Return what a command does to the newest trigger of a feature, without regard to freezes and holds."""
    if state is None or state.trigger is None:
        return refusals.unknown_trigger(command.trigger)
    trigger = state.trigger
    if trigger.id != command.trigger:
        return _older_trigger(command.trigger, state.runs, trigger)
    if not trigger.status.is_active:
        return _decide_ended(state, trigger, command, now_ms)
    if isinstance(command, PhaseCommand) and command.phase_id != trigger.current_run.phase.id:
        return refusals.stale_phase(command, command.phase_id, trigger, possible_actions(trigger.status))
    action = ACTIONS[type(command)]
    if not _is_allowed(action, trigger, command):
        return refusals.not_possible(command, trigger, possible_actions(trigger.status))
    if isinstance(command, AdvancePhase) and (remaining_ms := _remaining_ms(trigger, now_ms)) > 0:
        return refusals.not_due(trigger, remaining_ms)
    return _apply(state, trigger, action, command, now_ms)


def hold(
    state: Feature, command: AdvancePhase, holds: tuple[str, ...], now_ms: int
) -> FeatureEvent | Unchanged:
    """Return the event that a due phase is held for these reasons; unchanged if they are known already."""
    assert state.trigger
    holds = bounded_holds(holds)
    if holds == state.trigger.held:
        return Unchanged(f"{state.trigger.id} is still held: {'; '.join(holds)}")
    held = state.trigger.model_copy(update={"held": holds})
    variant = Variant(held, EventType.PHASE_HELD, ActionType.HELD)
    return _event(state, variant, command, now_ms, reason="; ".join(holds))


def roll_back_everywhere(state: Feature, command: RollBackTrigger, now_ms: int) -> FeatureEvent:
    """Return the event that an active trigger is rolled back as a whole, whatever its pipeline says."""
    assert state.trigger
    ended = transitions.ended(state.trigger, TriggerStatus.ROLLED_BACK, now_ms)
    variant = Variant(ended, EventType.TRIGGER_ROLLED_BACK, ActionType.ROLLED_BACK)
    return _event(state, variant, command, now_ms)


def _older_trigger(trigger_id: str, runs: int, newest: Trigger) -> Refusal:
    if run_of(trigger_id) > runs:
        return refusals.unknown_trigger(trigger_id, newest)
    return refusals.not_the_newest_trigger(trigger_id, newest)


def _decide_ended(state: Feature, trigger: Trigger, command: TriggerCommand, now_ms: int) -> Decision:
    """Return what happens to a trigger that has ended: a completed one may be rolled back while observed."""
    if not (isinstance(command, RollBackTrigger) and state.watched_trigger(now_ms)):
        return refusals.trigger_ended(trigger)
    feature, ended = restored(state, trigger, now_ms)
    variant = Variant(ended, EventType.TRIGGER_ROLLED_BACK, ActionType.ROLLED_BACK)
    return _event(feature, variant, command, now_ms)


def _is_allowed(action: ActionSpec, trigger: Trigger, command: TriggerCommand) -> bool:
    is_by_guardrail = isinstance(command, GuardrailCommand) and "name" in command.guardrail
    return trigger.status in action.statuses or (
        is_by_guardrail and trigger.status in action.guardrail_statuses
    )


def _remaining_ms(trigger: Trigger, now_ms: int) -> int:
    assert trigger.due_ms is not None
    return trigger.due_ms - now_ms


def _apply(
    state: Feature, trigger: Trigger, action: ActionSpec, command: TriggerCommand, now_ms: int
) -> Decision:
    match action.transition(trigger, command, now_ms):
        case Trigger() as moved:
            return _event(state, Variant(moved, action.event, action.action), command, now_ms)
        case Variant() as variant:
            return _event(state, variant, command, now_ms)
        case Unchanged() | Refusal() as nothing:
            return nothing
        case None:
            return refusals.not_possible(command, trigger, possible_actions(trigger.status))
        case unexpected:
            assert_never(unexpected)


def _event(
    state: Feature, moved: Variant, command: TriggerCommand, now_ms: int, *, reason: str | None = None
) -> FeatureEvent:
    """Return the event of an action, the candidate kept, made the base, or taken back."""
    assert state.trigger
    phase_id = state.trigger.current_run.phase.id
    reason = reason or command.reason
    record = transitions.action_record(
        moved.action, now_ms=now_ms, phase_id=phase_id, actor=command.actor, reason=reason
    )
    feature = state.changed(trigger=transitions.with_action(moved.trigger, record))
    if moved.trigger.status is TriggerStatus.COMPLETED:
        before = state.base if moved.trigger.is_observed(now_ms) else None
        feature = feature.changed(base=state.candidate, previous=before, candidate=None)
    elif not moved.trigger.status.is_active:
        feature = feature.changed(candidate=None)
    evidence = _evidence(command)
    return event_of(
        moved.event, feature, command, now_ms, phase_id=phase_id, reason=reason, evidence=evidence
    )


def _evidence(command: TriggerCommand) -> Evidence:
    """Return the alert or guardrail that an event answers, unless that is too large."""
    if not isinstance(command, GuardrailCommand):
        return NO_EVIDENCE
    guardrail = command.guardrail
    alert = command.alert if isinstance(command, RollBackTrigger) else {}
    left_out = tuple(
        name for name, value in (("guardrail", guardrail), ("alert", alert)) if _is_too_large(value)
    )
    return Evidence(
        alert={} if "alert" in left_out else alert,
        guardrail={} if "guardrail" in left_out else guardrail,
        left_out=left_out,
    )


def _is_too_large(evidence: dict[str, Any]) -> bool:
    return bool(evidence) and len(to_json(evidence)) > EVIDENCE_BYTES_MAX
