"""How a trigger moves: pure changes of its state.

The functions with a `command` are transitions of `actions.ACTIONS`, as are `approvals.approve` and
`rollbacks.roll_back`; the others are their parts. Whether an action is allowed is decided before
(`trigger_decisions`).
"""

from typing import Any, NamedTuple

from ..contracts.commands import ExtendBake, TriggerCommand
from ..contracts.events import EventType
from ..contracts.feature import Action, ActionType, Approval, EncodedActions, PhaseRun, Trigger, TriggerStatus
from ..contracts.identifiers import FeatureKey, trigger_id
from ..contracts.persons import Account
from ..contracts.pipeline import Pipeline
from ..contracts.short_texts import start_of
from .action_history import bounded_actions
from .message_limits import ACTION_REASON_BYTES_MAX, bounded_names


class Variant(NamedTuple):
    """A trigger after an action that is recorded differently from its row in `ACTIONS`."""

    trigger: Trigger
    event: EventType
    action: ActionType


def pause(trigger: Trigger, command: TriggerCommand, now_ms: int) -> Trigger:
    """Return the trigger with its bake timer stopped; it may be waiting for a review, too."""
    remaining = None if trigger.due_ms is None else max(0, trigger.due_ms - now_ms)
    return trigger.model_copy(
        update={"status": TriggerStatus.PAUSED, "due_ms": None, "remaining_ms": remaining, "held": ()}
    )


def unpause(trigger: Trigger, command: TriggerCommand, now_ms: int) -> Trigger:
    """Return the trigger with the rest of its bake running; a phase that has not started is entered."""
    if trigger.remaining_ms is None:
        return entered(trigger, trigger.current, now_ms)
    return trigger.model_copy(
        update={
            "status": TriggerStatus.IN_PROGRESS,
            "due_ms": now_ms + trigger.remaining_ms,
            "remaining_ms": None,
        }
    )


def skip(trigger: Trigger, command: TriggerCommand, now_ms: int) -> Trigger:
    """Return the trigger at its next phase; one that waited for review was never released."""
    return left(trigger, now_ms)


def extend(trigger: Trigger, command: ExtendBake, now_ms: int) -> Trigger | None:
    """Return the trigger with more left of its bake; None if its phase has not started.

    A phase that is due already, but held, bakes on from now.
    """
    if trigger.due_ms is not None:
        return trigger.model_copy(update={"due_ms": max(trigger.due_ms, now_ms) + command.by_ms, "held": ()})
    if trigger.remaining_ms is not None:
        return trigger.model_copy(update={"remaining_ms": trigger.remaining_ms + command.by_ms})
    return None


def abort(trigger: Trigger, command: TriggerCommand, now_ms: int) -> Trigger:
    """Return the trigger ended by a person, its candidate taken back."""
    return ended(trigger, TriggerStatus.ABORTED, now_ms)


def roll_out(trigger: Trigger, command: TriggerCommand, now_ms: int) -> Trigger:
    """Return the trigger ended by a person, its candidate live everywhere."""
    return ended(trigger, TriggerStatus.COMPLETED, now_ms)


def advance(trigger: Trigger, command: TriggerCommand, now_ms: int) -> Trigger | Variant:
    """Return the trigger at its next phase, or completed after the last one."""
    moved = left(trigger, now_ms)
    if moved.status is TriggerStatus.COMPLETED:
        return Variant(moved, EventType.TRIGGER_COMPLETED, ActionType.COMPLETED)
    return moved


def started(
    key: FeatureKey, run: int, pipeline: Pipeline, action: Action, account: Account | None = None
) -> Trigger:
    """Return a new trigger, its first phase entered; `account` is that of the actor."""
    trigger = Trigger(
        id=trigger_id(key, run),
        pipeline=pipeline,
        status=TriggerStatus.IN_PROGRESS,
        phases=tuple(PhaseRun(phase=phase) for phase in pipeline.phases),
        current=0,
        creator_id=action.actor_id,
        creator_account=account,
        created_ms=action.time_ms,
        description=action.reason,
        actions=(action,),
    )
    return entered(trigger, 0, action.time_ms)


def entered(trigger: Trigger, index: int, now_ms: int) -> Trigger:
    """Return the trigger at the phase `index`: waiting for its review or baking.

    Approvals given before no longer count. After the last phase the trigger is completed.
    """
    if index == len(trigger.phases):
        return ended(trigger, TriggerStatus.COMPLETED, now_ms)
    moved = trigger.model_copy(update={"current": index, "held": (), "remaining_ms": None})
    if moved.current_run.approvals:
        moved = with_approvals(moved, ())
    if moved.current_run.phase.required_review:
        return moved.model_copy(update={"status": TriggerStatus.WAITING_FOR_REVIEW, "due_ms": None})
    return baking(moved, now_ms)


def approved(trigger: Trigger, approval: Approval, now_ms: int) -> Trigger:
    """Return the trigger with one more approval of its current phase; with the last one it bakes."""
    run = trigger.current_run
    approvals = (*run.approvals, approval)
    moved = with_approvals(trigger, approvals)
    needed = run.phase.approvals.count if run.phase.approvals else 1
    return baking(moved, now_ms) if len(approvals) >= needed else moved


def with_approvals(trigger: Trigger, approvals: tuple[Approval, ...]) -> Trigger:
    """Return the trigger with exactly these approvals of its current phase."""
    return _with_run(trigger, trigger.current_run.model_copy(update={"approvals": approvals}))


def baking(trigger: Trigger, now_ms: int) -> Trigger:
    """Return the trigger with its current phase released, the bake counting from now."""
    run = trigger.current_run.model_copy(update={"started_ms": now_ms})
    due_ms = now_ms + run.phase.time_interval_ms
    return _with_run(trigger, run, status=TriggerStatus.IN_PROGRESS, due_ms=due_ms)


def left(trigger: Trigger, now_ms: int) -> Trigger:
    """Return the trigger with its current phase over, the next one entered."""
    run = trigger.current_run
    skipped = run.started_ms is None
    over = run.model_copy(update={"ended_ms": now_ms, "skipped": skipped})
    return entered(_with_run(trigger, over), trigger.current + 1, now_ms)


def ended(trigger: Trigger, status: TriggerStatus, now_ms: int) -> Trigger:
    """Return the trigger as ended, without a deadline or holds."""
    run = trigger.current_run
    if run.started_ms is not None and run.ended_ms is None:
        trigger = _with_run(trigger, run.model_copy(update={"ended_ms": now_ms}))
    is_completed = status is TriggerStatus.COMPLETED
    observe_ms = trigger.pipeline.observe_for_ms if is_completed else 0
    return trigger.model_copy(
        update={
            "status": status,
            "ended_ms": now_ms,
            "observed_until_ms": now_ms + observe_ms if observe_ms else None,
            "due_ms": None,
            "remaining_ms": None,
            "held": (),
        }
    )


def without_newest_phase(trigger: Trigger) -> Trigger:
    """Return the trigger paused before its newest released phase, as if that had never been released."""
    newest = max(index for index, run in enumerate(trigger.phases) if run.started_ms is not None)
    later = tuple(PhaseRun(phase=run.phase) for run in trigger.phases[newest:])
    return trigger.model_copy(
        update={
            "status": TriggerStatus.PAUSED,
            "phases": (*trigger.phases[:newest], *later),
            "current": newest,
            "due_ms": None,
            "remaining_ms": None,
            "held": (),
        }
    )


def with_action(trigger: Trigger, action: Action) -> Trigger:
    """Return the trigger with an action added to its history, which is bounded."""
    actions = EncodedActions.of(trigger.actions).followed_by(action)
    return trigger.model_copy(update={"actions": bounded_actions(actions)})


def with_overridden_freezes(trigger: Trigger, freezes: tuple[str, ...]) -> Trigger:
    """Return the trigger with its last action marked as overriding these freezes."""
    action = trigger.actions[-1].model_copy(update={"overrode": bounded_names(freezes)})
    return trigger.model_copy(update={"actions": (*trigger.actions[:-1], action)})


def action_record(
    type_: ActionType, *, now_ms: int, phase_id: str | None, actor: str, reason: str | None
) -> Action:
    """Return the record of one action; its event has the whole reason."""
    short = start_of(reason, ACTION_REASON_BYTES_MAX) if reason else reason
    return Action(type=type_, time_ms=now_ms, phase_id=phase_id, actor_id=actor, reason=short)


def _with_run(trigger: Trigger, run: PhaseRun, **fields: Any) -> Trigger:
    """Return the trigger with another run of its current phase, and with these fields."""
    phases = list(trigger.phases)
    phases[trigger.current] = run
    return trigger.model_copy(update={"phases": tuple(phases), **fields})
