"""A trigger with the fields of Statsig's Console API: the JSON of the command line and of our API.

The console's official API derives its form from the same fields.
"""

from collections.abc import Sequence

from pydantic import Field

from .contracts.events import DEFAULTS
from .contracts.feature import Action, ActionType, Approval, Feature, PhaseRun, Trigger, TriggerStatus
from .contracts.identifiers import FeatureKind
from .contracts.models import WireModel

#: Our actions that the Console API knows by another name.
CONSOLE_ACTIONS = {ActionType.COMPLETED: "CLEANED_UP"}


def _is_none(value: object) -> bool:
    return value is None


class ActionFields(WireModel):
    """What every form of an action has."""

    type: str
    time_ms: int
    #: The phase that was acted on.
    phase_id: str | None
    actor_id: str
    actor_name: str


class ActionView(ActionFields):
    """One thing done to a trigger."""

    reason: str | None
    #: The freezes that were overridden.
    overrode: tuple[str, ...]


class PhaseFields(WireModel):
    """What every form of a phase has."""

    id: str
    name: str
    #: See `phase_status`.
    status: str


class PhaseView(PhaseFields):
    """One phase of a trigger."""

    approvals: tuple[Approval, ...]
    started_time: int | None
    ended_time: int | None


class TriggerFields(WireModel):
    """What every form of a trigger has. Times are in ms since the epoch."""

    id: str
    release_pipeline_id: str
    #: One of these three names the feature.
    gate_id: str | None = None
    dynamic_config_id: str | None = None
    segment_id: str | None = None
    description: str | None
    status: TriggerStatus
    #: Name and id of the phase that bakes or waits; null once the trigger has ended.
    current_phase: str | None
    current_phase_id: str | None
    #: When its bake ends; null while nothing bakes.
    current_phase_end_time: int | None
    creator_id: str
    created_time: int
    last_modifier_id: str
    last_modifier_name: str


class TriggerView(TriggerFields):
    """A trigger. Of `gateID`, `dynamicConfigID` and `segmentID`, only the one that is set is present."""

    gate_id: str | None = Field(default=None, exclude_if=_is_none)
    dynamic_config_id: str | None = Field(default=None, exclude_if=_is_none)
    segment_id: str | None = Field(default=None, exclude_if=_is_none)
    actions: tuple[ActionView, ...]
    phases: tuple[PhaseView, ...]
    #: Why a phase that is due may not end yet.
    held: tuple[str, ...]
    ended_time: int | None
    #: Until when a completed release may still be rolled back.
    observed_until_time: int | None


def trigger_view(feature: Feature, trigger: Trigger) -> TriggerView:
    """Return a trigger of a feature."""
    current = trigger.current_run.phase if trigger.status.is_active else None
    last = trigger.actions[-1]
    return TriggerView(
        id=trigger.id,
        release_pipeline_id=trigger.pipeline.id,
        gate_id=feature.name if feature.kind is FeatureKind.GATE else None,
        dynamic_config_id=feature.name if feature.kind is FeatureKind.DYNAMIC_CONFIG else None,
        segment_id=feature.name if feature.kind is FeatureKind.SEGMENT else None,
        description=trigger.description,
        status=trigger.status,
        current_phase=current.name if current else None,
        current_phase_id=current.id if current else None,
        current_phase_end_time=trigger.due_ms,
        creator_id=trigger.creator_id,
        created_time=trigger.created_ms,
        last_modifier_id=last.actor_id,
        last_modifier_name=last.actor_id,
        actions=tuple(map(_action_view, trigger.actions)),
        phases=tuple(_phase_view(trigger, run) for run in trigger.phases),
        held=trigger.held,
        ended_time=trigger.ended_ms,
        observed_until_time=trigger.observed_until_ms,
    )


def phase_status(trigger: Trigger, run: PhaseRun) -> str:
    """Return the status of one phase of a trigger, as text for people."""
    if run.skipped:
        return "skipped, not released"
    if run.ended_ms is not None:
        return "released"
    if run is trigger.current_run and trigger.status.is_active:
        if run.started_ms is None:
            return _review_status(run)
        return "held" if trigger.held else "paused" if trigger.due_ms is None else "bakes"
    return "not released" if run.started_ms is None else "released"


def describe_override(freezes: Sequence[str]) -> str:
    """Return the freezes that an action overrode, as the end of a line; empty if there are none."""
    return f" (overrode freeze {', '.join(freezes)})" if freezes else ""


def describe_omissions(left_out: Sequence[str]) -> str:
    """Return what an event leaves out, as the end of a line; empty if nothing is lost."""
    lost = [name for name in left_out if name != DEFAULTS]
    return f" (left out, since it would be too large: {', '.join(lost)})" if lost else ""


def _review_status(run: PhaseRun) -> str:
    needed = run.phase.approvals.count if run.phase.approvals else 1
    return (
        f"waits for review, {len(run.approvals)} of {needed} approvals" if needed > 1 else "waits for review"
    )


def _action_view(action: Action) -> ActionView:
    return ActionView(
        type=CONSOLE_ACTIONS.get(action.type, action.type),
        time_ms=action.time_ms,
        phase_id=action.phase_id,
        actor_id=action.actor_id,
        actor_name=action.actor_id,
        reason=action.reason,
        overrode=action.overrode,
    )


def _phase_view(trigger: Trigger, run: PhaseRun) -> PhaseView:
    return PhaseView(
        id=run.phase.id,
        name=run.phase.name,
        status=phase_status(trigger, run),
        approvals=run.approvals,
        started_time=run.started_ms,
        ended_time=run.ended_ms,
    )
