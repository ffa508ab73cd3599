"""Write features and pipelines: as text, checked while one types, previewed before it is saved."""

from fastapi import APIRouter, HTTPException, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from sluiceway.contracts.commands import ArchiveFeature, DeletePipeline
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind, Name
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.pipelines.catalogue_decisions import PutDocument

from ..dependencies import Backend
from .drafts import (
    SAVE_OPTIONS,
    Draft,
    InvalidDraft,
    command_of,
    new_text,
    parse_draft,
    preview_draft,
    text_of_feature,
    text_of_pipeline,
)
from .renderer import render
from .session import CurrentUser, PostedForm, redirect_to

router = APIRouter()


@router.get("/features/new")
async def new_feature(request: Request, user: CurrentUser, kind: FeatureKind = FeatureKind.GATE) -> Response:
    """Begin a gate, config or segment."""
    return _editor(request, new_text(kind), 0, f"New {kind.replace('_', ' ')}", "/features")


@router.get("/features/{kind}/{name}/edit")
async def edit_feature(
    request: Request, kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser
) -> Response:
    """Change a feature."""
    entry = backend.features.get(FeatureKey(kind, name))
    if entry is None:
        raise HTTPException(404, f"there is no {kind}.{name}")
    text = text_of_feature(entry.event.feature)
    return _editor(request, text, entry.sequence, f"Edit {kind}.{name}", f"/features/{kind}/{name}")


@router.get("/pipelines/new")
async def new_pipeline(request: Request, user: CurrentUser) -> Response:
    """Begin a pipeline."""
    return _editor(request, new_text("pipeline"), 0, "New pipeline", "/pipelines")


@router.get("/pipelines/{id_}/edit")
async def edit_pipeline(request: Request, id_: Name, backend: Backend, user: CurrentUser) -> Response:
    """Change a pipeline."""
    stored = backend.catalogue.get("pipeline", id_)
    if stored is None or not isinstance(stored.document, Pipeline):
        raise HTTPException(404, f"there is no pipeline {id_}")
    text = text_of_pipeline(stored.document)
    return _editor(request, text, stored.revision, f"Edit pipeline {id_}", f"/pipelines/{id_}")


@router.post("/drafts/check")
async def check(request: Request, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Say whether a text could be saved, as a piece of a page."""
    try:
        preview = preview_draft(backend, user, parse_draft(backend, _text(form)))
    except InvalidDraft as error:
        return render(request, "checked.html", fault=str(error), outcome="")
    return render(request, "checked.html", fault=preview.refusal, outcome=preview.outcome)


@router.post("/drafts/preview")
async def preview(request: Request, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Show what saving would do."""
    text, back = _text(form), str(form.get("back", "/"))
    try:
        draft = parse_draft(backend, text)
    except InvalidDraft as error:
        title = str(form.get("title", "Edit"))
        return _editor(request, text, _revision(form), title, back, fault=str(error), code=400)
    return render(
        request,
        "preview.html",
        draft=draft,
        text=text,
        revision=_revision(form),
        back=back,
        preview=preview_draft(backend, user, draft, _way(form)),
        stale=_stale(draft, form),
    )


@router.post("/drafts/edit")
async def edit_again(request: Request, user: CurrentUser, form: PostedForm) -> Response:
    """Show a text again, as it was written."""
    title, back = str(form.get("title", "Edit")), str(form.get("back", "/"))
    return _editor(request, _text(form), _revision(form), title, back)


@router.post("/drafts/save")
async def save(backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Save a draft, unless what it changes was changed meanwhile."""
    try:
        draft = parse_draft(backend, _text(form))
    except InvalidDraft as error:
        raise HTTPException(400, str(error)) from error
    if stale := _stale(draft, form):
        raise HTTPException(409, stale)
    model, fields = command_of(draft, _way(form))
    reason = str(form.get("reason") or "").strip() or None
    reply = await backend.act(model, user, reason=reason, **fields)
    trigger = reply.feature.active_trigger if reply.feature else None
    return redirect_to(f"/triggers/{trigger.id}" if trigger else draft.address)


@router.get("/features/{kind}/{name}/archive")
async def ask_to_archive(
    request: Request, kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser
) -> Response:
    """Say what archiving would do."""
    decision = backend.preview(ArchiveFeature, user, kind=kind, name=name)
    regions = sorted(
        r for r in backend.documents().regions if FeatureKey(kind, name) in backend.regions.held(r)
    )
    return render(
        request,
        "remove.html",
        title=f"Archive {kind}.{name}",
        told=f"It is taken out of {len(regions)} regions at once: {', '.join(regions) or 'none holds it'}.",
        why_not=None if isinstance(decision, FeatureEvent) else decision.message,  # type: ignore[union-attr]
        verb="Archive",
        back=f"/features/{kind}/{name}",
    )


@router.post("/features/{kind}/{name}/archive")
async def archive(
    kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser, form: PostedForm
) -> Response:
    """Take a feature out of every region."""
    reason = str(form.get("reason") or "").strip() or None
    await backend.act(ArchiveFeature, user, kind=kind, name=name, reason=reason)
    return redirect_to(f"/features/{kind}/{name}")


@router.get("/pipelines/{id_}/delete")
async def ask_to_delete(request: Request, id_: Name, backend: Backend, user: CurrentUser) -> Response:
    """Say whether a pipeline may be deleted."""
    decision = backend.preview(DeletePipeline, user, pipeline_id=id_)
    return render(
        request,
        "remove.html",
        title=f"Delete pipeline {id_}",
        told="No feature is attached to it. What was released along it stays as it is.",
        why_not=None if isinstance(decision, PutDocument) else decision.message,  # type: ignore[union-attr]
        verb="Delete",
        back=f"/pipelines/{id_}",
    )


@router.post("/pipelines/{id_}/delete")
async def delete(id_: Name, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Delete a pipeline."""
    reason = str(form.get("reason") or "").strip() or None
    await backend.act(DeletePipeline, user, pipeline_id=id_, reason=reason)
    return redirect_to("/pipelines")


def _editor(
    request: Request,
    text: str,
    revision: int,
    title: str,
    back: str,
    *,
    fault: str | None = None,
    code: int = 200,
) -> Response:
    return render(
        request,
        "editor.html",
        code=code,
        text=text,
        revision=revision,
        title=title,
        back=back,
        fault=fault,
    )


def _text(form: FormData) -> str:
    return str(form.get("text", "")).replace("\r\n", "\n")


def _way(form: FormData) -> str:
    way = str(form.get("way", ""))
    return way if way in SAVE_OPTIONS else ""


def _revision(form: FormData) -> int:
    revision = str(form.get("revision", "0"))
    return int(revision) if revision.isdecimal() and len(revision) < 16 else 0


def _stale(draft: Draft, form: FormData) -> str | None:
    """Say that somebody else wrote first; None where nobody did."""
    if _revision(form) == draft.revision:
        return None
    if not draft.revision:
        return f"{draft.name} is not there any more"
    return f"{draft.name} was changed by {draft.modifier} meanwhile; look at it, and edit it anew"
