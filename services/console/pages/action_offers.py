"""The actions that a user may take on a release now, and why others are not allowed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sluiceway.contracts.commands import TriggerCommand
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.pipelines.actions import MANUAL_ACTIONS, ActionSpec

from ..backend import ConsoleBackend

#: Titles that are not their action's verb.
TITLES = {"skip": "Skip the phase", "roll_out": "Roll out to everyone"}
#: The last parts of paths that are not named like their action.
PATHS = {"roll_out": "rollout"}
#: Actions that take something away from users; their buttons show that.
DANGERS = {"abort"}


class PageAction(NamedTuple):
    """An action on a release, as the page shows it."""

    spec: ActionSpec
    title: str
    #: The last part of its path.
    path: str
    is_danger: bool

    def command(
        self,
        trigger: Trigger,
        user: Identity,
        options: Mapping[str, str],
        *,
        command_id: str | None = None,
        phase_id: str | None = None,
        reason: str | None = None,
        override_freeze: bool = False,
    ) -> TriggerCommand:
        """Return the command for the phase that the user saw; by default, for the current one.

        `ValidationError` if an option is invalid.
        """
        fields: dict[str, Any] = {"actor": user.name, "trigger": trigger.id, "reason": reason, **options}
        if command_id:
            fields["id"] = command_id
        if self.spec.acts_on_phase:
            fields["phase_id"] = phase_id or trigger.current_run.phase.id
        if self.spec.may_start_phase:
            fields["override_freeze"] = override_freeze
        return self.spec.command.model_validate(fields)


def _page_action(spec: ActionSpec) -> PageAction:
    return PageAction(
        spec=spec,
        title=TITLES.get(spec.name, spec.name.capitalize()),
        path=PATHS.get(spec.name, spec.name),
        is_danger=spec.name in DANGERS,
    )


#: By path.
PAGE_ACTIONS: Mapping[str, PageAction] = {
    action.path: action for action in map(_page_action, MANUAL_ACTIONS.values())
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
    for action in PAGE_ACTIONS.values():
        decision = backend.preview_action(action.command(trigger, user, {}), user)
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
