"""What a person may do to a release now: each action, whether it is offered, and why not."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    PauseTrigger,
    PhaseCommand,
    RollOutTrigger,
    SkipPhase,
    StartingCommand,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.replies import Refusal, RefusalCode

from ..backend import ConsoleBackend


class PageAction(NamedTuple):
    """Something that can be done to a release."""

    #: The last part of its address.
    name: str
    model: type[TriggerCommand]
    title: str
    #: Takes something away from people, so that it looks like that.
    is_danger: bool = False


ACTIONS: Mapping[str, PageAction] = {
    action.name: action
    for action in (
        PageAction("approve", ApprovePhase, "Approve"),
        PageAction("pause", PauseTrigger, "Pause"),
        PageAction("unpause", UnpauseTrigger, "Unpause"),
        PageAction("skip", SkipPhase, "Skip the phase"),
        PageAction("rollout", RollOutTrigger, "Roll out to everyone"),
        PageAction("abort", AbortTrigger, "Abort", is_danger=True),
    )
}
#: Refusals that mean: this makes no sense now, rather than: you may not.
NOT_APPLICABLE = (RefusalCode.NOT_POSSIBLE, RefusalCode.TRIGGER_ENDED, RefusalCode.UNKNOWN_TRIGGER)


class ActionOffer(NamedTuple):
    """An action that makes sense now; `why_not`, where this person may not do it."""

    action: PageAction
    why_not: str | None


def offers(backend: ConsoleBackend, user: Identity, trigger: Trigger) -> list[ActionOffer]:
    """Return what would make sense to do now, decided as the scheduler would."""
    found = []
    for action in ACTIONS.values():
        decision = backend.preview(action.model, user, **fields_of(action, trigger))
        match decision:
            case FeatureEvent():
                found.append(ActionOffer(action, None))
            case Refusal(code=code) if code in NOT_APPLICABLE:
                continue
            case Refusal(code=RefusalCode.FROZEN):
                found.append(ActionOffer(action, None))  # the next page says what an override would do
            case _:
                found.append(ActionOffer(action, decision.message if hasattr(decision, "message") else None))
    return found


def fields_of(action: PageAction, trigger: Trigger, phase: str | None = None) -> dict[str, Any]:
    """Return the fields of the command: meant for the phase that the person saw."""
    fields: dict[str, Any] = {"trigger": trigger.id}
    if issubclass(action.model, PhaseCommand):
        fields["phase_id"] = phase or trigger.current_run.phase.id
    return fields


def may_override(action: PageAction) -> bool:
    """Say whether the action may start a phase, and so meet a freeze."""
    return issubclass(action.model, StartingCommand)
