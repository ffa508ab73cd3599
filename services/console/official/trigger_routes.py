"""`/console/v1/release_pipeline_triggers`: lists releases, and acts on them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Annotated, NamedTuple

from fastapi import APIRouter, HTTPException, Query, Request

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
from sluiceway.contracts.identifiers import FeatureKind, Name, TriggerId

from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Day, Limit, Page
from ..release_index import ReleaseEntry
from .action_bodies import ActionBody, PhaseActionBody, StartingActionBody, StartingPhaseActionBody
from .official_triggers import ACTIVE_STATUSES, STATUSES, OfficialStatus, OfficialTrigger, official_trigger
from .responses import Listed, Single, pagination_of

router = APIRouter(tags=["release pipeline triggers"])

PATH = "/release_pipeline_triggers"


class ActionRoute(NamedTuple):
    """An action of the official API."""

    #: The last part of its path.
    path: str
    #: The name of the operation.
    name: str
    command: type[TriggerCommand]
    description: str

    @property
    def body(self) -> type[ActionBody]:
        """The model of the body, by what the command needs."""
        may_start = issubclass(self.command, StartingCommand)
        if issubclass(self.command, PhaseCommand):
            return StartingPhaseActionBody if may_start else PhaseActionBody
        return StartingActionBody if may_start else ActionBody


ACTION_ROUTES = (
    ActionRoute(
        "approve", "approve", ApprovePhase, "Approve a phase that waits for review. Needs the role approver."
    ),
    ActionRoute(
        "pause",
        "pause",
        PauseTrigger,
        "Stop the bake timer; what is released stays. Needs the role operator.",
    ),
    ActionRoute(
        "unpause", "unpause", UnpauseTrigger, "Continue the bake of the phase. Needs the role operator."
    ),
    ActionRoute(
        "skip", "skip", SkipPhase, "End the phase now and go on to the next. Needs the role operator."
    ),
    ActionRoute(
        "abort",
        "abort",
        AbortTrigger,
        "Withdraw the candidate everywhere, for good. Needs the role operator.",
    ),
    ActionRoute(
        "rollout",
        "roll_out",
        RollOutTrigger,
        "Release the candidate to everyone now. Needs the role operator.",
    ),
)


@router.get(PATH, responses=READING)
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
    """List releases, newest first."""
    is_active = status in ACTIVE_STATUSES
    matching = [
        release
        for release in (backend.releases.active() if is_active else await backend.releases.all())
        if pipeline in (None, release.pipeline)
        and status in (None, STATUSES[release.status])
        and gate in (None, _name_of(release, FeatureKind.GATE))
        and config in (None, _name_of(release, FeatureKind.DYNAMIC_CONFIG))
        and _is_within(release.created_ms, start, end)
    ]
    matching.sort(key=lambda release: (release.created_ms, release.id), reverse=True)
    states = await backend.releases.states(matching[(page - 1) * limit : page * limit])
    return Listed(
        message="Release pipeline triggers listed",
        data=[official_trigger(state, state.trigger) for state in states if state.trigger],
        pagination=pagination_of(request, len(matching), limit, page),
    )


@router.get(f"{PATH}/{{id}}", responses=READING_ONE)
async def get_trigger(id: TriggerId, backend: Backend, caller: Caller) -> Single[OfficialTrigger]:
    """Return a release, also an earlier one of its feature."""
    state = await backend.releases.state(id)
    if state is None or state.trigger is None:
        raise HTTPException(404, f"trigger {id} does not exist")
    return Single(message="Release pipeline trigger found", data=official_trigger(state, state.trigger))


def _endpoint(route: ActionRoute) -> Callable[..., Awaitable[Single[OfficialTrigger]]]:
    """Return the handler of an action. The body is optional if all its fields are."""

    async def act(
        id: TriggerId, backend: Backend, caller: Caller, command_id: CommandId, body: ActionBody | None
    ) -> Single[OfficialTrigger]:
        command = (body or route.body()).to_command(route.command, id, command_id, caller.name)
        reply = await backend.execute(command, caller)
        assert reply.feature
        assert reply.feature.trigger
        return Single(
            message=reply.message or "Release pipeline trigger updated",
            data=official_trigger(reply.feature, reply.feature.trigger),
        )

    if issubclass(route.command, PhaseCommand):
        act.__annotations__["body"] = route.body
    else:
        act.__annotations__["body"] = route.body | None
        act.__defaults__ = (None,)
    return act


for action_route in ACTION_ROUTES:
    router.add_api_route(
        f"{PATH}/{{id}}/{action_route.path}",
        _endpoint(action_route),
        methods=["PUT"],
        name=action_route.name,
        description=action_route.description,
        responses=CHANGING,
    )


def _name_of(release: ReleaseEntry, kind: FeatureKind) -> str | None:
    return release.key.name if release.key.kind is kind else None


def _is_within(created_ms: int, start: date | None, end: date | None) -> bool:
    """Return whether a time lies within these days in UTC, both included."""
    created = datetime.fromtimestamp(created_ms / 1_000, UTC).date()
    return (start is None or created >= start) and (end is None or created <= end)
