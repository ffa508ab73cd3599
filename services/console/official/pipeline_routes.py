"""`/console/v1/release_pipelines`."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic import Field, StrictBool

from sluiceway.contracts.commands import DeletePipeline, SavePipeline
from sluiceway.contracts.identifiers import NAME_PATTERN, Label, Name, slug
from sluiceway.contracts.models import AuthoredModel
from sluiceway.contracts.pipeline import INTERVAL_MAX_MS, PHASES_MAX, Phase, Pipeline, RollbackScope
from sluiceway.contracts.revisions import NOTHING_STORED
from sluiceway.messaging.catalogue_store import StoredDocument

from ..backend import ConsoleBackend
from ..command_executor import PipelineEdit
from ..dependencies import Backend, Caller, CommandId, Headers
from ..errors import CHANGING, CREATING, READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page
from ..preconditions import entity_tag
from .responses import Listed, OfficialMessage, Single, paged

router = APIRouter(tags=["release pipelines"])

Id = Annotated[str, Path(pattern=NAME_PATTERN, description="The pipeline's id.")]
Phases = Annotated[tuple[Phase, ...], Field(min_length=1, max_length=PHASES_MAX)]


class PipelineView(Pipeline):
    """A pipeline and its authors. `approvals`, `guardrails` and the fields after `phases` are our own."""

    creator_id: str
    #: Milliseconds since the epoch.
    created_time: int
    last_modifier_id: str


class _OwnFields(AuthoredModel):
    trigger_notice: Annotated[str, Field(max_length=1_000)] | None = None
    observe_for_ms: Annotated[int, Field(strict=True, ge=0, le=INTERVAL_MAX_MS)] = 0
    rollback_scope: RollbackScope = RollbackScope.TRIGGER
    require_confirmation: StrictBool = True


class NewPipeline(_OwnFields):
    """A new pipeline. Its id is `id`, or else `name` with a dash for every run of other characters."""

    id: Name | None = None
    name: Label
    phases: Phases


class PipelineChange(_OwnFields):
    """Fields to change; the others stay."""

    name: Label | None = None
    phases: Phases | None = None


@router.get("/release_pipelines", responses=READING)
async def list_pipelines(
    request: Request, backend: Backend, caller: Caller, limit: Limit = PAGE_SIZE, page: Page = 1
) -> Listed[PipelineView]:
    """List the pipelines, by name."""
    pipelines = sorted(map(_view, backend.catalogue.all("pipeline")), key=lambda view: (view.name, view.id))
    return paged(request, "Release pipelines listed", pipelines, limit, page)


@router.post("/release_pipelines", responses=CREATING)
async def create_pipeline(
    body: NewPipeline, backend: Backend, caller: Caller, command_id: CommandId, response: Response
) -> Single[PipelineView]:
    """Create a pipeline. Needs the role admin."""
    id_ = body.id or slug(body.name)
    pipeline = Pipeline.model_validate({**body.to_jsonable(), "id": id_})
    stored = backend.catalogue.get("pipeline", id_)
    if stored and stored.document != pipeline:
        raise HTTPException(409, f"pipeline {id_} exists already; POST release_pipelines/{id_} to change it")
    revision = stored.revision_tag if stored else NOTHING_STORED
    command = SavePipeline(id=command_id, actor=caller.name, pipeline=pipeline, expected_revision=revision)
    await backend.execute(command, caller)
    return _single("Release pipeline created", backend, id_, response)


@router.get("/release_pipelines/{id}", responses=READING_ONE)
async def get_pipeline(id: Id, backend: Backend, caller: Caller, response: Response) -> Single[PipelineView]:
    """Return a pipeline."""
    return _single("Release pipeline found", backend, id, response)


@router.post("/release_pipelines/{id}", responses=CHANGING)
async def update_pipeline(
    id: Id,
    body: PipelineChange,
    backend: Backend,
    caller: Caller,
    headers: Headers,
    response: Response,
) -> Single[PipelineView]:
    """Change a pipeline. Needs the role admin; refused while one of its releases is active."""
    changes = {
        name: value
        for name, value in body.model_dump(mode="json", exclude_unset=True).items()
        if value is not None or name == "triggerNotice"
    }

    def change(pipeline: Pipeline) -> Pipeline:
        return Pipeline.model_validate({**pipeline.to_jsonable(), **changes})

    edit = PipelineEdit(headers.command_id, change)
    await backend.edit_pipeline(id, edit, caller, headers.preconditions)
    return _single("Release pipeline updated", backend, id, response)


@router.delete("/release_pipelines/{id}", responses=CHANGING)
async def delete_pipeline(id: Id, backend: Backend, caller: Caller, headers: Headers) -> OfficialMessage:
    """Delete a pipeline that no feature is attached to. Needs the role admin."""
    command = DeletePipeline(id=headers.command_id, actor=caller.name, pipeline_id=id)
    await backend.execute(command, caller, headers.preconditions)
    return OfficialMessage(message="Release pipeline deleted")


def _single(message: str, backend: ConsoleBackend, id_: str, response: Response) -> Single[PipelineView]:
    stored = _stored(backend, id_)
    response.headers["ETag"] = entity_tag(stored.revision_tag)
    return Single(message=message, data=_view(stored))


def _stored(backend: ConsoleBackend, id_: str) -> StoredDocument:
    stored = backend.catalogue.get("pipeline", id_)
    if stored is None:
        raise HTTPException(404, f"pipeline {id_!r} does not exist")
    return stored


def _view(stored: StoredDocument) -> PipelineView:
    return PipelineView(
        **stored.document.model_dump(by_alias=False),
        creator_id=stored.creator,
        created_time=stored.created_ms,
        last_modifier_id=stored.modifier,
    )
