"""Taking a candidate back: of the whole trigger, of its newest phase, or after its completion."""

from ..contracts.commands import RollBackTrigger, TriggerCommand
from ..contracts.events import EventType
from ..contracts.feature import ActionType, Feature, Trigger, TriggerStatus
from ..contracts.pipeline import RollbackScope
from . import transitions
from .transitions import Variant

#: The states of a trigger whose candidate is live nowhere.
TAKEN_BACK = frozenset((TriggerStatus.ABORTED, TriggerStatus.ROLLED_BACK))


def roll_back(trigger: Trigger, command: RollBackTrigger, now_ms: int) -> Trigger | Variant:
    """Return an active trigger rolled back as far as its pipeline says."""
    if trigger.pipeline.rollback_scope is RollbackScope.PHASE and trigger.released:
        paused = transitions.without_newest_phase(trigger)
        return Variant(paused, EventType.PHASE_ROLLED_BACK, ActionType.PHASE_ROLLED_BACK)
    return transitions.ended(trigger, TriggerStatus.ROLLED_BACK, now_ms)


def has_taken_effect(command: TriggerCommand, state: Feature | None, since_ms: int) -> bool:
    """Return whether a feature shows what a roll-back or a pause is for, done since a time or lasting.

    A release that ended otherwise shows it only if its candidate is not live.
    """
    trigger = state.trigger if state else None
    if trigger is None or trigger.id != command.trigger:
        return False
    if trigger.status in TAKEN_BACK:
        return True
    if isinstance(command, RollBackTrigger):
        return _was_done(trigger, ActionType.PHASE_ROLLED_BACK, since_ms)
    return trigger.status is TriggerStatus.PAUSED or _was_done(trigger, ActionType.PAUSED, since_ms)


def _was_done(trigger: Trigger, type_: ActionType, since_ms: int) -> bool:
    return any(action.type is type_ and action.time_ms >= since_ms for action in trigger.actions)


def restored(state: Feature, trigger: Trigger, now_ms: int) -> tuple[Feature, Trigger]:
    """Return a feature with what was live before its completed release as a new version, and the trigger.

    The trigger is not observed any more.
    """
    version = state.versions + 1
    previous = state.previous and state.previous.model_copy(update={"version": version, "trigger": None})
    ended = transitions.ended(trigger, TriggerStatus.ROLLED_BACK, now_ms)
    feature = state.changed(base=previous, previous=None, versions=version)
    return feature, ended.model_copy(update={"observed_until_ms": None})
