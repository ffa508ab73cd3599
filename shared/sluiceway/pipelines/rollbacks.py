"""Taking a candidate back: of the whole trigger, of its newest phase, or after its completion."""

from ..contracts.commands import RollBackTrigger
from ..contracts.events import EventType
from ..contracts.feature import ActionType, Feature, Trigger, TriggerStatus
from ..contracts.pipeline import RollbackScope
from . import transitions
from .transitions import Variant


def roll_back(trigger: Trigger, command: RollBackTrigger, now_ms: int) -> Trigger | Variant:
    """Return an active trigger rolled back as far as its pipeline says."""
    if trigger.pipeline.rollback_scope is RollbackScope.PHASE and trigger.released:
        paused = transitions.without_newest_phase(trigger)
        return Variant(paused, EventType.PHASE_ROLLED_BACK, ActionType.PHASE_ROLLED_BACK)
    return transitions.ended(trigger, TriggerStatus.ROLLED_BACK, now_ms)


def restored(state: Feature, trigger: Trigger, now_ms: int) -> tuple[Feature, Trigger]:
    """Return a feature with what was live before its completed release as a new version, and the trigger.

    The trigger is not observed any more.
    """
    version = state.versions + 1
    previous = state.previous and state.previous.model_copy(update={"version": version, "trigger": None})
    ended = transitions.ended(trigger, TriggerStatus.ROLLED_BACK, now_ms)
    feature = state.changed(base=previous, previous=None, versions=version)
    return feature, ended.model_copy(update={"observed_until_ms": None})
