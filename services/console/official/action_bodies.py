"""Request bodies of actions on a release."""

from typing import Any

from pydantic import StrictBool, create_model

from sluiceway.contracts.commands import Reason, TriggerCommand
from sluiceway.contracts.identifiers import Name
from sluiceway.contracts.models import AuthoredModel
from sluiceway.pipelines.actions import ActionSpec


class ActionBody(AuthoredModel):
    """Why something is done; our own."""

    reason: Reason | None = None

    def to_command(
        self, model: type[TriggerCommand], trigger: str, command_id: str, actor: str
    ) -> TriggerCommand:
        """Return the command: the fields of this body are fields of it."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return model.model_validate({"id": command_id, "actor": actor, "trigger": trigger, **fields})


class StartingActionBody(ActionBody):
    """An action that may start a phase, which a freeze may forbid."""

    #: Start it in spite of a freeze; needs a reason. Our own.
    override_freeze: StrictBool = False


class PhaseActionBody(ActionBody):
    """The phase that the caller saw; refused (409) if another one is current."""

    phase_id: Name


class StartingPhaseActionBody(PhaseActionBody, StartingActionBody):
    """The phase that the caller saw, and whether to override a freeze."""


def action_body(action: ActionSpec) -> type[ActionBody]:
    """Return the model of an action's body, by what its command needs."""
    model: type[ActionBody]
    if action.acts_on_phase:
        model = StartingPhaseActionBody if action.may_start_phase else PhaseActionBody
    else:
        model = StartingActionBody if action.may_start_phase else ActionBody
    if not action.options:
        return model
    options: dict[str, Any] = {option.name: (str, option.default) for option in action.options}
    return create_model(
        f"{action.name.title().replace('_', '')}ActionBody", __base__=model, __doc__=model.__doc__, **options
    )
