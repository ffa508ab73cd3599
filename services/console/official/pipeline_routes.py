"""`/console/v1/release_pipelines`."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import Field, StrictBool

from sluiceway.contracts.commands import DeletePipeline, SavePipeline
from sluiceway.contracts.identifiers import NAME_PATTERN, Label, Name, slug
from sluiceway.contracts.models import AuthoredModel
from sluiceway.contracts.pipeline import INTERVAL_MAX_MS, PHASES_MAX, Phase, Pipeline, RollbackScope
from sluiceway.messaging.catalogue_store import StoredDocument

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page
from .responses import Listed, OfficialMessage, Single, paged

router = APIRouter(tags=["release pipelines"])

Id = Annotated[str, Path(pattern=NAME_PATTERN, description="The pipeline's id.")]
Phases = Annotated[tuple[Phase, ...], Field(min_length=1, max_length=PHASES_MAX)]


class PipelineView(Pipeline):
    """A pipeline, and who wrote it. `approvals`, `guardrails` and what follows `phases` are our own."""

    creator_id: str
    #: Milliseconds since the epoch.
    created_time: int
    last_modifier_id: str


class _Ours(AuthoredModel):
    trigger_notice: Annotated[str, Field(max_length=1_000)] | None = None
    observe_for_ms: Annotated[int, Field(strict=True, ge=0, le=INTERVAL_MAX_MS)] = 0
    rollback_scope: RollbackScope = RollbackScope.TRIGGER
    require_confirmation: StrictBool = False


class NewPipeline(_Ours):
    """What is written of a new pipeline. Its id is its name, other characters as dashes, unless given."""

    id: Name | None = None
    name: Label
    phases: Phases


class PipelineChange(_Ours):
    """What is to be changed; what is absent stays."""

    name: Label | None = None
    phases: Phases | None = None


@router.get("/release_pipelines", responses=READING)
async def list_pipelines(
    request: Request, backend: Backend, caller: Caller, limit: Limit = PAGE_SIZE, page: Page = 1
) -> Listed[PipelineView]:
    """List the pipelines, by name."""
    found = sorted(map(_view, backend.catalogue.all("pipeline")), key=lambda known: (known.name, known.id))
    return paged(request, "Release pipelines listed", found, limit, page)


@router.post("/release_pipelines", responses=CHANGING)
async def create_pipeline(
    body: NewPipeline, backend: Backend, caller: Caller, command_id: CommandId
) -> Single[PipelineView]:
    """Create a pipeline. Needs the role admin."""
    id_ = body.id or slug(body.name)
    known = backend.catalogue.get("pipeline", id_)
    if known and known.document != Pipeline.model_validate({**body.to_jsonable(), "id": id_}):
        raise HTTPException(
            409, f"there is a pipeline {id_} already; POST release_pipelines/{id_} changes it"
        )
    document = {**body.to_jsonable(), "id": id_}
    await backend.act(SavePipeline, caller, id=command_id, pipeline=document)
    return Single(message="Release pipeline created", data=_view(_known(backend, id_)))


@router.get("/release_pipelines/{id}", responses=READING_ONE)
async def get_pipeline(id: Id, backend: Backend, caller: Caller) -> Single[PipelineView]:
    """Show a pipeline."""
    return Single(message="Release pipeline found", data=_view(_known(backend, id)))


@router.post("/release_pipelines/{id}", responses={**CHANGING, **READING_ONE})
async def update_pipeline(
    id: Id,
    body: PipelineChange,
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> Single[PipelineView]:
    """Change a pipeline. Needs the role admin; refused while one of its releases is under way."""
    known = _known(backend, id).document.to_jsonable()
    changes = {
        name: value
        for name, value in body.model_dump(mode="json", exclude_unset=True).items()
        if value is not None or name == "triggerNotice"
    }
    await backend.act(SavePipeline, caller, id=command_id, pipeline={**known, **changes})
    return Single(message="Release pipeline updated", data=_view(_known(backend, id)))


@router.delete("/release_pipelines/{id}", responses={**CHANGING, **READING_ONE})
async def delete_pipeline(id: Id, backend: Backend, caller: Caller, command_id: CommandId) -> OfficialMessage:
    """Delete a pipeline that no feature is attached to. Needs the role admin."""
    await backend.act(DeletePipeline, caller, id=command_id, pipeline_id=id)
    return OfficialMessage(message="Release pipeline deleted")


def _known(backend: ConsoleBackend, id_: str) -> StoredDocument:
    stored = backend.catalogue.get("pipeline", id_)
    if stored is None:
        raise HTTPException(404, f"there is no pipeline {id_}")
    return stored


def _view(stored: StoredDocument) -> PipelineView:
    return PipelineView(
        **stored.document.model_dump(by_alias=False),
        creator_id=stored.creator,
        created_time=stored.created_ms,
        last_modifier_id=stored.modifier,
    )
