"""`/console/v1/release_pipeline_triggers`.

The official words for statuses and actions know no roll-back by a monitor: that is `ABORTED` there,
with `rolledBack` and its reason beside it. `sluicewayStatus` and `sluicewayType` say our own words.
"""

from datetime import UTC, date, datetime
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
from sluiceway.contracts.identifiers import FeatureKind, Name, TriggerId
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.models import AuthoredModel

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Day, Limit, Page
from ..release_index import ReleaseEntry
from .official_triggers import ACTIVE_STATUSES, STATUSES, OfficialStatus, OfficialTrigger, official_trigger
from .responses import Listed, Single, pagination_of

router = APIRouter(tags=["release pipeline triggers"])


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
) -> Listed[OfficialTrigger]:
    """List releases, the newest first."""
    chosen = [
        release
        for release in (
            backend.releases.active() if status in ACTIVE_STATUSES else await backend.releases.all()
        )
        if pipeline in (None, release.pipeline)
        and status in (None, STATUSES[release.status])
        and gate in (None, _name_of(release, FeatureKind.GATE))
        and config in (None, _name_of(release, FeatureKind.DYNAMIC_CONFIG))
        and _is_within(release.created_ms, start, end)
    ]
    chosen.sort(key=lambda release: (release.created_ms, release.id), reverse=True)
    shown = chosen[(page - 1) * limit : page * limit]
    states = await backend.releases.states(shown)
    return Listed(
        message="ReleaseEntry pipeline triggers listed",
        data=[official_trigger(state, state.trigger) for state in states if state.trigger],
        pagination=pagination_of(request, len(chosen), limit, page),
    )


@router.get("/release_pipeline_triggers/{id}", responses=READING_ONE)
async def get_trigger(id: TriggerId, backend: Backend, caller: Caller) -> Single[OfficialTrigger]:
    """Show a release, also one that was followed by another."""
    state = await backend.releases.state(id)
    if state is None or state.trigger is None:
        raise HTTPException(404, f"there is no trigger {id}")
    return Single(message="ReleaseEntry pipeline trigger found", data=official_trigger(state, state.trigger))


@router.put("/release_pipeline_triggers/{id}/approve", responses=CHANGING)
async def approve(
    id: TriggerId,
    body: StartingPhaseActionBody,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[OfficialTrigger]:
    """Approve a phase that waits for review. Needs the role approver."""
    return await _act(backend, caller, ApprovePhase, id, command_id, body)


@router.put("/release_pipeline_triggers/{id}/pause", responses=CHANGING)
async def pause(
    id: TriggerId,
    body: PhaseActionBody,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[OfficialTrigger]:
    """Stop the bake timer; what is released stays. Needs the role operator."""
    return await _act(backend, caller, PauseTrigger, id, command_id, body)


@router.put("/release_pipeline_triggers/{id}/unpause", responses=CHANGING)
async def unpause(
    id: TriggerId,
    body: StartingPhaseActionBody,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[OfficialTrigger]:
    """Let the rest of the bake run on. Needs the role operator."""
    return await _act(backend, caller, UnpauseTrigger, id, command_id, body)


@router.put("/release_pipeline_triggers/{id}/skip", responses=CHANGING)
async def skip(
    id: TriggerId,
    body: StartingPhaseActionBody,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[OfficialTrigger]:
    """End the phase now, straight to the next. Needs the role operator."""
    return await _act(backend, caller, SkipPhase, id, command_id, body)


@router.put("/release_pipeline_triggers/{id}/abort", responses=CHANGING)
async def abort(
    id: TriggerId,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
    body: ActionBody | None = None,
) -> Single[OfficialTrigger]:
    """Take the candidate back everywhere, for good. Needs the role operator."""
    return await _act(backend, caller, AbortTrigger, id, command_id, body or ActionBody())


@router.put("/release_pipeline_triggers/{id}/rollout", responses=CHANGING)
async def roll_out(
    id: TriggerId,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
    body: StartingActionBody | None = None,
) -> Single[OfficialTrigger]:
    """Give the candidate to everyone now. Needs the role operator."""
    return await _act(backend, caller, RollOutTrigger, id, command_id, body or StartingActionBody())


async def _act(
    backend: ConsoleBackend,
    caller: Identity,
    model: type[TriggerCommand],
    id_: str,
    command_id: str,
    deed: ActionBody,
) -> Single[OfficialTrigger]:
    fields: dict[str, Any] = deed.model_dump(by_alias=False)
    reply = await backend.act(model, caller, id=command_id, trigger=id_, **fields)
    assert reply.feature
    assert reply.feature.trigger
    return Single(
        message=reply.message or "ReleaseEntry pipeline trigger updated",
        data=official_trigger(reply.feature, reply.feature.trigger),
    )


def _name_of(release: ReleaseEntry, kind: FeatureKind) -> str | None:
    return release.key.name if release.key.kind is kind else None


def _is_within(created_ms: int, start: date | None, end: date | None) -> bool:
    """Say whether a time lies on one of these days, in UTC, both included."""
    created = datetime.fromtimestamp(created_ms / 1_000, UTC).date()
    return (start is None or created >= start) and (end is None or created <= end)
