"""`/console/v1/release_pipeline_triggers`.

The official words for statuses and actions know no roll-back by a monitor: that is `ABORTED` there,
with `rolledBack` and its reason beside it. `sluicewayStatus` and `sluicewayType` say our own words.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import StrictBool

from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    PauseTrigger,
    Reason,
    RollOutTrigger,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.feature import ActionType, Feature, Trigger, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKind, Name, TriggerId
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.models import AuthoredModel, WireModel
from sluiceway.views import ID_FIELDS, phase_status

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Day, Limit, Page
from ..release_index import ReleaseEntry
from .responses import Listed, Single, pagination_of

router = APIRouter(tags=["release pipeline triggers"])

#: Our actions → the official ones. What is not here (a phase advanced, or was held) is in the audit alone.
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


class OfficialStatus(StrEnum):
    """The statuses that scripts know."""

    IN_PROGRESS = "IN_PROGRESS"
    PAUSED = "PAUSED"
    ABORTED = "ABORTED"
    COMPLETED = "COMPLETED"
    WAITING_FOR_REVIEW = "WAITING_FOR_REVIEW"


ACTIVE = (OfficialStatus.IN_PROGRESS, OfficialStatus.PAUSED, OfficialStatus.WAITING_FOR_REVIEW)


class ActionView(WireModel):
    """Something that was done to a release."""

    type: str
    time_ms: int
    phase_id: str
    actor_id: str
    actor_name: str
    sluiceway_type: ActionType
    reason: str | None


class PhaseView(WireModel):
    """Where one phase stands; our own."""

    id: str
    name: str
    status: str
    #: Who has approved it so far.
    approvals: list[str]
    started_time: int | None
    ended_time: int | None


class TriggerView(WireModel):
    """A release. From `sluicewayStatus` on, the fields are our own."""

    id: str
    release_pipeline_id: str
    gate_id: str | None = None
    dynamic_config_id: str | None = None
    description: str | None
    status: OfficialStatus
    #: Name and id of the phase that bakes or waits; null once the release has ended.
    current_phase: str | None
    current_phase_id: str | None
    #: When its bake ends, in ms; null while nothing bakes.
    current_phase_end_time: int | None
    creator_id: str
    created_time: int
    last_modifier_id: str
    last_modifier_name: str
    actions: list[ActionView]
    sluiceway_status: TriggerStatus
    rolled_back: bool
    rolled_back_reason: str | None
    segment_id: str | None = None
    held: list[str]
    phases: list[PhaseView]


class ActionBody(AuthoredModel):
    """Why something is done; our own."""

    reason: Reason | None = None


class StartingActionBody(ActionBody):
    """What may start a phase, and so meet a freeze."""

    #: Start it inside a freeze as well; needs a reason. Our own.
    override_freeze: StrictBool = False


class PhaseActionBody(ActionBody):
    """Which phase the caller saw: refused (409) where another one is current."""

    phase_id: Name


class StartingPhaseActionBody(PhaseActionBody, StartingActionBody):
    """The phase that the caller saw, and whether a freeze is overridden."""


@router.get("/release_pipeline_triggers", responses=READING)
async def list_triggers(
    request: Request,
    backend: Backend,
    caller: Caller,
    pipeline: Annotated[Name | None, Query(alias="releasePipelineID")] = None,
    gate: Annotated[Name | None, Query(alias="gateID")] = None,
    config: Annotated[Name | None, Query(alias="dynamicConfigID")] = None,
    status: OfficialStatus | None = None,
    start: Annotated[Day | None, Query(alias="startDate")] = None,
    end: Annotated[Day | None, Query(alias="endDate")] = None,
    limit: Limit = PAGE_SIZE,
    page: Page = 1,
) -> Listed[TriggerView]:
    """List releases, the newest first."""
    chosen = [
        release
        for release in (backend.releases.active() if status in ACTIVE else await backend.releases.all())
        if pipeline in (None, release.pipeline)
        and status in (None, _official(release.status))
        and gate in (None, _name_of(release, FeatureKind.GATE))
        and config in (None, _name_of(release, FeatureKind.DYNAMIC_CONFIG))
        and _is_within(release.created_ms, start, end)
    ]
    chosen.sort(key=lambda release: (release.created_ms, release.id), reverse=True)
    shown = chosen[(page - 1) * limit : page * limit]
    states = await backend.releases.states(shown)
    return Listed(
        message="Release pipeline triggers listed",
        data=[view_of(state, state.trigger) for state in states if state.trigger],
        pagination=pagination_of(request, len(chosen), limit, page),
    )


@router.get("/release_pipeline_triggers/{id}", responses=READING_ONE)
async def get_trigger(id: TriggerId, backend: Backend, caller: Caller) -> Single[TriggerView]:
    """Show a release, also one that was followed by another."""
    state = await backend.releases.state(id)
    if state is None or state.trigger is None:
        raise HTTPException(404, f"there is no trigger {id}")
    return Single(message="Release pipeline trigger found", data=view_of(state, state.trigger))


@router.put("/release_pipeline_triggers/{id}/approve", responses=CHANGING)
async def approve(
    id: TriggerId,
    body: StartingPhaseActionBody,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[TriggerView]:
    """Approve a phase that waits for review. Needs the role approver."""
    return await _act(backend, caller, ApprovePhase, id, command_id, body)


@router.put("/release_pipeline_triggers/{id}/pause", responses=CHANGING)
async def pause(
    id: TriggerId,
    body: PhaseActionBody,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[TriggerView]:
    """Stop the bake timer; what is released stays. Needs the role operator."""
    return await _act(backend, caller, PauseTrigger, id, command_id, body)


@router.put("/release_pipeline_triggers/{id}/unpause", responses=CHANGING)
async def unpause(
    id: TriggerId,
    body: StartingPhaseActionBody,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[TriggerView]:
    """Let the rest of the bake run on. Needs the role operator."""
    return await _act(backend, caller, UnpauseTrigger, id, command_id, body)


@router.put("/release_pipeline_triggers/{id}/skip", responses=CHANGING)
async def skip(
    id: TriggerId,
    body: StartingPhaseActionBody,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[TriggerView]:
    """End the phase now, straight to the next. Needs the role operator."""
    return await _act(backend, caller, SkipPhase, id, command_id, body)


@router.put("/release_pipeline_triggers/{id}/abort", responses=CHANGING)
async def abort(
    id: TriggerId,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
    body: ActionBody | None = None,
) -> Single[TriggerView]:
    """Take the candidate back everywhere, for good. Needs the role operator."""
    return await _act(backend, caller, AbortTrigger, id, command_id, body or ActionBody())


@router.put("/release_pipeline_triggers/{id}/rollout", responses=CHANGING)
async def roll_out(
    id: TriggerId,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
    body: StartingActionBody | None = None,
) -> Single[TriggerView]:
    """Give the candidate to everyone now. Needs the role operator."""
    return await _act(backend, caller, RollOutTrigger, id, command_id, body or StartingActionBody())


async def _act(
    backend: ConsoleBackend,
    caller: Identity,
    model: type[TriggerCommand],
    id_: str,
    command_id: str,
    deed: ActionBody,
) -> Single[TriggerView]:
    fields: dict[str, Any] = deed.model_dump(by_alias=False)
    reply = await backend.act(model, caller, id=command_id, trigger=id_, **fields)
    assert reply.feature
    assert reply.feature.trigger
    return Single(
        message=reply.message or "Release pipeline trigger updated",
        data=view_of(reply.feature, reply.feature.trigger),
    )


def _name_of(release: ReleaseEntry, kind: FeatureKind) -> str | None:
    return release.key.name if release.key.kind is kind else None


def _is_within(created_ms: int, start: date | None, end: date | None) -> bool:
    """Say whether a time lies on one of these days, in UTC, both included."""
    created = datetime.fromtimestamp(created_ms / 1_000, UTC).date()
    return (start is None or created >= start) and (end is None or created <= end)


def _official(status: TriggerStatus) -> OfficialStatus:
    is_back = status is TriggerStatus.ROLLED_BACK
    return OfficialStatus.ABORTED if is_back else OfficialStatus(status)


def view_of(feature: Feature, trigger: Trigger) -> TriggerView:
    """Return a trigger of a feature."""
    last, current = trigger.actions[-1], trigger.current_run.phase
    is_active, is_back = trigger.status.is_active, trigger.status is TriggerStatus.ROLLED_BACK
    return TriggerView.model_validate(
        {
            ID_FIELDS[feature.kind]: feature.name,
            "id": trigger.id,
            "releasePipelineID": trigger.pipeline.id,
            "description": trigger.description,
            "status": _official(trigger.status),
            "currentPhase": current.name if is_active else None,
            "currentPhaseID": current.id if is_active else None,
            "currentPhaseEndTime": trigger.due_ms,
            "creatorID": trigger.creator_id,
            "createdTime": trigger.created_ms,
            "lastModifierID": last.actor_id,
            "lastModifierName": last.actor_id,
            "actions": [
                {
                    "type": ACTIONS[action.type],
                    "timeMs": action.time_ms,
                    "phaseID": action.phase_id or "",
                    "actorID": action.actor_id,
                    "actorName": action.actor_id,
                    "sluicewayType": action.type,
                    "reason": action.reason,
                }
                for action in trigger.actions
                if action.type in ACTIONS
            ],
            "sluicewayStatus": trigger.status,
            "rolledBack": is_back,
            "rolledBackReason": last.reason if is_back else None,
            "held": trigger.held,
            "phases": [
                {
                    "id": run.phase.id,
                    "name": run.phase.name,
                    "status": phase_status(trigger, run),
                    "approvals": [approval.actor_id for approval in run.approvals],
                    "startedTime": run.started_ms,
                    "endedTime": run.ended_ms,
                }
                for run in trigger.phases
            ],
        }
    )
