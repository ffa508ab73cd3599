"""Act on a release: each command and status → the event that follows, or why none does."""

from collections.abc import Mapping, Sequence

from ..contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    PauseTrigger,
    PhaseCommand,
    RollBackTrigger,
    RollOutTrigger,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from ..contracts.durations import format_duration
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import ActionType, Feature, Trigger, TriggerStatus
from ..contracts.pipeline import RollbackScope
from ..contracts.replies import Refusal, RefusalCode
from . import transitions
from .decision import Decision, Unchanged, event_of, refusal

#: What the present status allows.
POSSIBLE: Mapping[TriggerStatus, tuple[str, ...]] = {
    TriggerStatus.IN_PROGRESS: ("pause", "skip", "abort", "roll_out"),
    TriggerStatus.PAUSED: ("unpause", "skip", "abort", "roll_out"),
    TriggerStatus.WAITING_FOR_REVIEW: ("approve", "skip", "abort", "roll_out"),
}


def decide_trigger(state: Feature | None, command: TriggerCommand, now_ms: int) -> Decision:
    if state is None or state.trigger is None:
        return refusal(RefusalCode.UNKNOWN_TRIGGER, f"there is no trigger {command.trigger}")
    trigger = state.trigger
    if trigger.id != command.trigger:
        return _not_the_newest(command.trigger, state.runs, trigger)
    if not trigger.status.is_active:
        if isinstance(command, RollBackTrigger) and state.watched_trigger(now_ms):
            return _restore(state, trigger, command, now_ms)
        return refusal(
            RefusalCode.TRIGGER_ENDED,
            f"{trigger.id} has ended ({trigger.status}); a new change starts a new trigger",
            ("save_feature",),
        )
    current = trigger.current_run.phase.id
    if isinstance(command, PhaseCommand) and command.phase_id != current:
        return refusal(
            RefusalCode.STALE_PHASE,
            f"{command.verb} was meant for phase {command.phase_id!r}, but {trigger.id} is at "
            f"{current!r} ({trigger.status}); look again before you act",
            POSSIBLE[trigger.status],
        )
    return _apply(state, trigger, command, now_ms)


def _apply(state: Feature, trigger: Trigger, command: TriggerCommand, now_ms: int) -> Decision:
    match command, trigger.status:
        case AdvancePhase(), TriggerStatus.IN_PROGRESS:
            return _advance(state, trigger, command, now_ms)
        case ApprovePhase(), TriggerStatus.WAITING_FOR_REVIEW:
            return _approve(state, trigger, command, now_ms)
        case (PauseTrigger(), TriggerStatus.IN_PROGRESS) | (
            PauseTrigger(guardrail={"name": _}),
            TriggerStatus.WAITING_FOR_REVIEW,
        ):
            moved = transitions.paused(trigger, now_ms)
            return _moved(EventType.TRIGGER_PAUSED, ActionType.PAUSED, state, moved, command, now_ms)
        case UnpauseTrigger(), TriggerStatus.PAUSED:
            moved = transitions.unpaused(trigger, now_ms)
            return _moved(EventType.TRIGGER_UNPAUSED, ActionType.UNPAUSED, state, moved, command, now_ms)
        case SkipPhase(), _:
            moved = transitions.left(trigger, now_ms)
            return _moved(EventType.PHASE_SKIPPED, ActionType.SKIPPED, state, moved, command, now_ms)
        case AbortTrigger(), _:
            moved = transitions.ended(trigger, TriggerStatus.ABORTED, now_ms)
            return _moved(EventType.TRIGGER_ABORTED, ActionType.ABORTED, state, moved, command, now_ms)
        case RollBackTrigger(), _ if (
            trigger.pipeline.rollback_scope is RollbackScope.PHASE and trigger.released
        ):
            moved = transitions.without_newest_phase(trigger)
            return _moved(
                EventType.PHASE_ROLLED_BACK, ActionType.PHASE_ROLLED_BACK, state, moved, command, now_ms
            )
        case RollBackTrigger(), _:
            moved = transitions.ended(trigger, TriggerStatus.ROLLED_BACK, now_ms)
            return _moved(
                EventType.TRIGGER_ROLLED_BACK, ActionType.ROLLED_BACK, state, moved, command, now_ms
            )
        case RollOutTrigger(), _:
            moved = transitions.ended(trigger, TriggerStatus.COMPLETED, now_ms)
            return _moved(
                EventType.TRIGGER_ROLLED_OUT, ActionType.FULL_ROLL_OUT, state, moved, command, now_ms
            )
        case _:
            return _not_possible(trigger, command)


def _approve(state: Feature, trigger: Trigger, command: ApprovePhase, now_ms: int) -> Decision:
    """Return the approval of one person, who counts once; the last one that is needed starts the phase."""
    run = trigger.current_run
    phase, rule = run.phase.id, run.phase.approvals
    if rule and not rule.allow_author and command.actor == trigger.creator_id:
        return refusal(
            RefusalCode.NOT_ALLOWED,
            f"{command.actor} started {trigger.id} and cannot approve its phase {phase!r}; "
            "ask somebody else to approve it",
        )
    if rule and rule.groups and not _is_in(rule.groups, command):
        return refusal(
            RefusalCode.NOT_ALLOWED,
            f"phase {phase!r} of {trigger.id} needs the approval of somebody in {' or '.join(rule.groups)}, "
            f"and nobody vouches that {command.actor} is",
        )
    if any(given.actor_id == command.actor for given in run.approvals):
        given_by = ", ".join(given.actor_id for given in run.approvals)
        return Unchanged(
            f"{command.actor} has approved {phase!r} of {trigger.id} already; it has "
            f"{len(run.approvals)} of {rule.count if rule else 1} approvals: {given_by}"
        )
    moved = transitions.approved(trigger, command.actor, now_ms)
    has_started = moved.status is TriggerStatus.IN_PROGRESS
    type_ = EventType.PHASE_APPROVED if has_started else EventType.APPROVAL_GIVEN
    return _moved(type_, ActionType.APPROVED_FOR, state, moved, command, now_ms)


def _is_in(groups: Sequence[str], command: ApprovePhase) -> bool:
    return command.identity is not None and not set(groups).isdisjoint(command.identity.groups)


def _advance(state: Feature, trigger: Trigger, command: AdvancePhase, now_ms: int) -> Decision:
    assert trigger.due_ms is not None
    if now_ms < trigger.due_ms:
        left = format_duration(trigger.due_ms - now_ms)
        return refusal(RefusalCode.NOT_DUE, f"{command.phase_id} of {trigger.id} bakes for another {left}")
    if command.holds:
        if command.holds == trigger.held:
            return Unchanged(f"{trigger.id} is still held: {'; '.join(command.holds)}")
        held = trigger.model_copy(update={"held": command.holds})
        return _moved(EventType.PHASE_HELD, ActionType.HELD, state, held, command, now_ms)
    moved = transitions.left(trigger, now_ms)
    if moved.status is TriggerStatus.COMPLETED:
        return _moved(EventType.TRIGGER_COMPLETED, ActionType.COMPLETED, state, moved, command, now_ms)
    return _moved(EventType.PHASE_ADVANCED, ActionType.ADVANCED, state, moved, command, now_ms)


def _restore(state: Feature, trigger: Trigger, command: RollBackTrigger, now_ms: int) -> Decision:
    """Return the event that makes what was live before a completed release the base again."""
    version = state.versions + 1
    previous = state.previous and state.previous.model_copy(update={"version": version, "trigger": None})
    over = transitions.ended(trigger, TriggerStatus.ROLLED_BACK, now_ms)
    return _moved(
        EventType.TRIGGER_ROLLED_BACK,
        ActionType.ROLLED_BACK,
        state.changed(base=previous, previous=None, versions=version),
        over.model_copy(update={"observed_until_ms": None}),
        command,
        now_ms,
    )


def _moved(
    type_: EventType,
    action: ActionType,
    state: Feature,
    trigger: Trigger,
    command: TriggerCommand,
    now_ms: int,
) -> FeatureEvent:
    """Return the event of an action, the candidate kept, made the base, or taken back."""
    assert state.trigger
    phase_id = state.trigger.current_run.phase.id
    reason = "; ".join(trigger.held) if action is ActionType.HELD else command.reason
    record = transitions.action_of(
        action, now_ms=now_ms, phase_id=phase_id, actor=command.actor, reason=reason
    )
    feature = state.changed(trigger=transitions.acted(trigger, record))
    if trigger.status is TriggerStatus.COMPLETED:
        before = state.base if trigger.is_observed(now_ms) else None
        feature = feature.changed(base=state.candidate, previous=before, candidate=None)
    elif not trigger.status.is_active:
        feature = feature.changed(candidate=None)
    event = event_of(type_, feature, command, now_ms, phase_id=phase_id, reason=reason)
    match command:
        case RollBackTrigger():
            return event.model_copy(update={"alert": command.alert, "guardrail": command.guardrail})
        case PauseTrigger():
            return event.model_copy(update={"guardrail": command.guardrail})
        case _:
            return event


def _not_the_newest(asked: str, runs: int, newest: Trigger) -> Refusal:
    if int(asked.rsplit(".", 1)[1]) > runs:
        return refusal(RefusalCode.UNKNOWN_TRIGGER, f"there is no trigger {asked}; the newest is {newest.id}")
    return refusal(
        RefusalCode.TRIGGER_ENDED, f"{asked} has ended; the newest is {newest.id} ({newest.status})"
    )


def _not_possible(trigger: Trigger, command: TriggerCommand) -> Refusal:
    phase = trigger.current_run.phase.id
    possible = POSSIBLE[trigger.status]
    return refusal(
        RefusalCode.NOT_POSSIBLE,
        f"{command.verb} is not possible: {trigger.id} is {trigger.status} at phase {phase!r}; "
        f"possible are {', '.join(possible)}",
        possible,
    )
