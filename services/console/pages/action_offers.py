"""The actions that a user may take on a release now, and why others are not allowed."""

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
    """An action on a release."""

    #: The last part of its path.
    name: str
    model: type[TriggerCommand]
    title: str
    #: Takes something away from users; its button shows that.
    is_danger: bool = False

    @property
    def may_start_phase(self) -> bool:
        """Whether the action may start a phase, which a freeze may forbid."""
        return issubclass(self.model, StartingCommand)

    def command(
        self,
        trigger: Trigger,
        user: Identity,
        *,
        phase_id: str | None = None,
        reason: str | None = None,
        override_freeze: bool = False,
    ) -> TriggerCommand:
        """Return the command for the phase that the user saw; by default, for the current one."""
        fields: dict[str, Any] = {"actor": user.name, "trigger": trigger.id, "reason": reason}
        if issubclass(self.model, PhaseCommand):
            fields["phase_id"] = phase_id or trigger.current_run.phase.id
        if self.may_start_phase:
            fields["override_freeze"] = override_freeze
        return self.model.model_validate(fields)


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
#: Refusals because of the release's state: the action is not shown. After others it is shown, disabled.
NOT_APPLICABLE = (RefusalCode.NOT_POSSIBLE, RefusalCode.TRIGGER_ENDED, RefusalCode.UNKNOWN_TRIGGER)


class ActionOffer(NamedTuple):
    """An action that makes sense now."""

    action: PageAction
    #: Why this user may not take it; None if it is allowed.
    why_not: str | None


def action_offers(backend: ConsoleBackend, user: Identity, trigger: Trigger) -> list[ActionOffer]:
    """Return the actions that make sense now, decided as the scheduler would decide them."""
    offers = []
    for action in ACTIONS.values():
        decision = backend.preview(action.command(trigger, user), user)
        match decision:
            case FeatureEvent():
                offers.append(ActionOffer(action, None))
            case Refusal(code=code) if code in NOT_APPLICABLE:
                continue
            case Refusal(code=RefusalCode.FROZEN):
                offers.append(ActionOffer(action, None))  # the next page offers to override the freeze
            case _:
                why_not = decision.message if hasattr(decision, "message") else None
                offers.append(ActionOffer(action, why_not))
    return offers
