"""Triggers as the official API returns them.

It has no status or action for a rollback by the monitor. A release that was rolled back is `ABORTED`
there, with `rolledBack` and the reason. `sluicewayStatus` and `sluicewayType` have our own values.
"""

from collections.abc import Mapping
from enum import StrEnum

from sluiceway.contracts.feature import Action, ActionType, Feature, PhaseRun, Trigger, TriggerStatus
from sluiceway.trigger_view import ActionFields, PhaseFields, TriggerFields, phase_status, trigger_view


class OfficialStatus(StrEnum):
    """The statuses that existing scripts know."""

    IN_PROGRESS = "IN_PROGRESS"
    PAUSED = "PAUSED"
    ABORTED = "ABORTED"
    COMPLETED = "COMPLETED"
    WAITING_FOR_REVIEW = "WAITING_FOR_REVIEW"


#: Our statuses → the official ones.
STATUSES: Mapping[TriggerStatus, OfficialStatus] = {
    TriggerStatus.IN_PROGRESS: OfficialStatus.IN_PROGRESS,
    TriggerStatus.PAUSED: OfficialStatus.PAUSED,
    TriggerStatus.WAITING_FOR_REVIEW: OfficialStatus.WAITING_FOR_REVIEW,
    TriggerStatus.COMPLETED: OfficialStatus.COMPLETED,
    TriggerStatus.ABORTED: OfficialStatus.ABORTED,
    TriggerStatus.ROLLED_BACK: OfficialStatus.ABORTED,
}
ACTIVE_STATUSES = frozenset(STATUSES[status] for status in TriggerStatus if status.is_active)

#: Our actions → the official ones. The others (a phase advanced, or was held) are in the audit log only.
ACTIONS: Mapping[ActionType, str] = {
    ActionType.STARTED: "STARTED",
    ActionType.ABORTED: "ABORTED",
    ActionType.ROLLED_BACK: "ABORTED",
    ActionType.PAUSED: "PAUSED",
    ActionType.PHASE_ROLLED_BACK: "PAUSED",
    ActionType.UNPAUSED: "UNPAUSED",
    ActionType.APPROVED_FOR: "APPROVED_FOR",
    ActionType.SKIPPED: "SKIPPED",
    ActionType.FULL_ROLL_OUT: "FULL_ROLL_OUT",
    ActionType.COMPLETED: "CLEANED_UP",
}


class OfficialAction(ActionFields):
    """One thing done to a release."""

    #: Empty if the action was about the whole release.
    phase_id: str
    sluiceway_type: ActionType
    reason: str | None


class OfficialPhase(PhaseFields):
    """One phase of a release; our own."""

    #: Whose approval of it counts.
    approvals: list[str]
    started_time: int | None
    ended_time: int | None


class OfficialTrigger(TriggerFields):
    """A release. From `sluicewayStatus` on, the fields are our own."""

    status: OfficialStatus  # type: ignore[assignment]
    actions: list[OfficialAction]
    sluiceway_status: TriggerStatus
    rolled_back: bool
    rolled_back_reason: str | None
    held: list[str]
    phases: list[OfficialPhase]


def official_trigger(feature: Feature, trigger: Trigger) -> OfficialTrigger:
    """Return a trigger of a feature."""
    view = trigger_view(feature, trigger)
    common = {name: getattr(view, name) for name in TriggerFields.model_fields}
    is_rolled_back = trigger.status is TriggerStatus.ROLLED_BACK
    own = {
        "status": STATUSES[trigger.status],
        "actions": [_official_action(action) for action in trigger.actions if action.type in ACTIONS],
        "sluiceway_status": trigger.status,
        "rolled_back": is_rolled_back,
        "rolled_back_reason": trigger.actions[-1].reason if is_rolled_back else None,
        "held": list(trigger.held),
        "phases": [_official_phase(trigger, run) for run in trigger.phases],
    }
    return OfficialTrigger.model_validate(common | own)


def _official_action(action: Action) -> OfficialAction:
    return OfficialAction(
        type=ACTIONS[action.type],
        time_ms=action.time_ms,
        phase_id=action.phase_id or "",
        actor_id=action.actor_id,
        actor_name=action.actor_id,
        sluiceway_type=action.type,
        reason=action.reason,
    )


def _official_phase(trigger: Trigger, run: PhaseRun) -> OfficialPhase:
    return OfficialPhase(
        id=run.phase.id,
        name=run.phase.name,
        status=phase_status(trigger, run),
        approvals=[approval.actor_id for approval in run.approvals],
        started_time=run.started_ms,
        ended_time=run.ended_ms,
    )
