"""Pipelines: their phases, the features that use them, and their active releases."""

import heapq
from collections.abc import Collection
from functools import partial

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from sluiceway.contracts.commands import SavePipeline
from sluiceway.contracts.identifiers import FeatureKey, Name
from sluiceway.contracts.pipeline import Phase, Pipeline
from sluiceway.contracts.replies import Refusal
from sluiceway.pipelines.simulation import simulate_coverage

from ..dependencies import Backend
from .describe import describe_segment
from .document_text import document_text
from .renderer import render
from .session import CurrentUser

router = APIRouter()

#: Features named on a page; the page also shows how many there are.
NAMED_MAX = 100


@router.get("/pipelines")
async def list_pipelines(request: Request, backend: Backend, user: CurrentUser) -> Response:
    """List the pipelines, with the number of features and active releases of each."""
    usage = backend.features.usage
    pipelines = sorted(backend.documents().pipelines.values(), key=lambda pipeline: pipeline.id)
    rows = [(p, len(usage.attached.get(p.id, ())), len(usage.running.get(p.id, ()))) for p in pipelines]
    return render(request, "pipelines.html", rows=rows)


@router.get("/pipelines/{id_}")
async def show(request: Request, id_: Name, backend: Backend, user: CurrentUser) -> Response:
    """Show a pipeline."""
    documents = backend.documents()
    pipeline = documents.pipelines.get(id_)
    if pipeline is None:
        raise HTTPException(404, f"pipeline {id_!r} does not exist")
    usage, regions = backend.features.usage, [*documents.regions.values()]
    return render(
        request,
        "pipeline.html",
        pipeline=pipeline,
        segments={phase.id: _segments(phase) for phase in pipeline.phases},
        phases=await backend.in_thread(user, partial(simulate_coverage, pipeline, regions)),
        attached=_named(usage.attached.get(id_, ())),
        attached_count=len(usage.attached.get(id_, ())),
        running=_named(usage.running.get(id_, ())),
        running_count=len(usage.running.get(id_, ())),
        text=await backend.in_thread(user, partial(document_text, pipeline)),
        why_not=await _why_not_editable(backend, user, pipeline),
    )


def _named(features: Collection[FeatureKey]) -> list[str]:
    return heapq.nsmallest(NAMED_MAX, map(str, features))


def _segments(phase: Phase) -> list[str]:
    return [f"{rule.name}: {describe_segment(rule)}" for rule in phase.rules]


async def _why_not_editable(backend: Backend, user: CurrentUser, pipeline: Pipeline) -> str | None:
    """Return why a user may not edit a pipeline now; None if it is allowed."""
    changed = pipeline.model_copy(update={"name": f"{pipeline.name[:99]}*"})
    decision = await backend.preview(SavePipeline(actor=user.name, pipeline=changed), user)
    return decision.message if isinstance(decision, Refusal) else None
