"""`/console/v1/release_pipeline_triggers`: lists releases, and acts on them."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response

from sluiceway.contracts.identifiers import FeatureKind, Name, TriggerId, feature_of
from sluiceway.pipelines.actions import MANUAL_ACTIONS, ActionSpec

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller, Headers
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Day, Limit, Page
from ..preconditions import entity_tag
from ..release_index import ReleaseEntry
from .action_bodies import ActionBody, action_body
from .official_triggers import ACTIVE_STATUSES, STATUSES, OfficialStatus, OfficialTrigger, official_trigger
from .responses import Listed, Single, pagination_of

router = APIRouter(tags=["release pipeline triggers"])

PATH = "/release_pipeline_triggers"


#: The last parts of paths that are not named like their action.
ACTION_PATHS = {"roll_out": "rollout"}


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
        for release in await (backend.releases.all_active() if is_active else backend.releases.all())
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
async def get_trigger(
    id: TriggerId, backend: Backend, caller: Caller, response: Response
) -> Single[OfficialTrigger]:
    """Return a release, also an earlier one of its feature. Only the newest one has an ETag."""
    _add_etag(response, backend, id)
    state = await backend.releases.state(id)
    if state is None or state.trigger is None:
        raise HTTPException(404, f"trigger {id} does not exist")
    return Single(message="Release pipeline trigger found", data=official_trigger(state, state.trigger))


def _add_route(action: ActionSpec) -> None:
    """Serve an action. Its body is optional if all fields of it are."""
    model = action_body(action)

    async def act(
        id: TriggerId,
        backend: Backend,
        caller: Caller,
        headers: Headers,
        response: Response,
        body: ActionBody | None,
    ) -> Single[OfficialTrigger]:
        command = (body or model()).to_command(action.command, id, headers.command_id, caller.name)
        reply = await backend.execute(command, caller, headers.preconditions)
        assert reply.feature
        assert reply.feature.trigger
        _add_etag(response, backend, id)
        return Single(
            message=reply.message or "Release pipeline trigger updated",
            data=official_trigger(reply.feature, reply.feature.trigger),
        )

    if action.acts_on_phase:
        act.__annotations__["body"] = model
    else:
        act.__annotations__["body"] = model | None
        act.__defaults__ = (None,)
    summary = (action.command.__doc__ or "").partition("\n")[0]
    router.add_api_route(
        f"{PATH}/{{id}}/{ACTION_PATHS.get(action.name, action.name)}",
        act,
        methods=["PUT"],
        name=action.name,
        description=f"{summary} Needs the role {action.role}.",
        responses=CHANGING,
    )


for manual_action in MANUAL_ACTIONS.values():
    _add_route(manual_action)


def _add_etag(response: Response, backend: ConsoleBackend, trigger_id: str) -> None:
    """Name the revision of the feature whose newest release this is."""
    entry = backend.features.get(feature_of(trigger_id))
    if entry and (trigger := entry.event.feature.trigger) and trigger.id == trigger_id:
        response.headers["ETag"] = entity_tag(entry.revision_tag)


def _name_of(release: ReleaseEntry, kind: FeatureKind) -> str | None:
    return release.key.name if release.key.kind is kind else None


def _is_within(created_ms: int, start: date | None, end: date | None) -> bool:
    """Return whether a time lies within these days in UTC, both included."""
    created = datetime.fromtimestamp(created_ms / 1_000, UTC).date()
    return (start is None or created >= start) and (end is None or created <= end)
