"""Edit features and pipelines as text: checked while the user types, previewed before it is saved."""

from fastapi import APIRouter, HTTPException, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from sluiceway.contracts.commands import ArchiveFeature, DeletePipeline
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind, Name
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.pipelines.catalogue_decisions import PutDocument

from ..dependencies import Backend
from .document_text import InvalidDraft, document_text, feature_text, new_text
from .drafts import Draft, SaveOption, parse_draft, preview_draft, save_command
from .renderer import plural, render
from .session import CurrentUser, PostedForm, posted_reason, redirect_to

router = APIRouter()


@router.get("/features/new")
async def new_feature(request: Request, user: CurrentUser, kind: FeatureKind = FeatureKind.GATE) -> Response:
    """Show the editor for a new gate, config or segment."""
    return _editor(request, new_text(kind), 0, f"New {kind.replace('_', ' ')}", "/features")


@router.get("/features/{kind}/{name}/edit")
async def edit_feature(
    request: Request, kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser
) -> Response:
    """Show the editor for a feature."""
    entry = backend.features.get(FeatureKey(kind, name))
    if entry is None:
        raise HTTPException(404, f"{kind}.{name} does not exist")
    text = feature_text(entry.event.feature)
    return _editor(request, text, entry.sequence, f"Edit {kind}.{name}", f"/features/{kind}/{name}")


@router.get("/pipelines/new")
async def new_pipeline(request: Request, user: CurrentUser) -> Response:
    """Show the editor for a new pipeline."""
    return _editor(request, new_text("pipeline"), 0, "New pipeline", "/pipelines")


@router.get("/pipelines/{id_}/edit")
async def edit_pipeline(request: Request, id_: Name, backend: Backend, user: CurrentUser) -> Response:
    """Show the editor for a pipeline."""
    stored = backend.catalogue.get("pipeline", id_)
    if stored is None or not isinstance(stored.document, Pipeline):
        raise HTTPException(404, f"pipeline {id_!r} does not exist")
    text = document_text(stored.document)
    return _editor(request, text, stored.revision, f"Edit pipeline {id_}", f"/pipelines/{id_}")


@router.post("/drafts/check")
async def check(request: Request, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Return whether a text could be saved, as a fragment of a page."""
    try:
        preview = preview_draft(backend, user, parse_draft(backend, _text(form)))
    except InvalidDraft as error:
        return render(request, "checked.html", error=str(error), outcome="")
    return render(request, "checked.html", error=preview.refusal, outcome=preview.outcome)


@router.post("/drafts/preview")
async def preview(request: Request, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Show what saving would do."""
    text, back = _text(form), str(form.get("back", "/"))
    try:
        draft = parse_draft(backend, text)
    except InvalidDraft as error:
        title = str(form.get("title", "Edit"))
        return _editor(request, text, _revision(form), title, back, error=str(error), code=400)
    return render(
        request,
        "preview.html",
        draft=draft,
        text=text,
        revision=_revision(form),
        back=back,
        preview=preview_draft(backend, user, draft, _option(form)),
        conflict=_conflict(draft, form),
    )


@router.post("/drafts/edit")
async def edit_again(request: Request, user: CurrentUser, form: PostedForm) -> Response:
    """Show the editor again with an unsaved text."""
    title, back = str(form.get("title", "Edit")), str(form.get("back", "/"))
    return _editor(request, _text(form), _revision(form), title, back)


@router.post("/drafts/save")
async def save(backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Save a draft; 409 if another user has changed the document since it was opened."""
    try:
        draft = parse_draft(backend, _text(form))
    except InvalidDraft as error:
        raise HTTPException(400, str(error)) from error
    if conflict := _conflict(draft, form):
        raise HTTPException(409, conflict)
    reply = await backend.execute(save_command(draft, user, _option(form), posted_reason(form)), user)
    trigger = reply.feature.active_trigger if reply.feature else None
    return redirect_to(f"/triggers/{trigger.id}" if trigger else draft.address)


@router.get("/features/{kind}/{name}/archive")
async def confirm_archive(
    request: Request, kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser
) -> Response:
    """Show what archiving a feature would do."""
    decision = backend.preview(ArchiveFeature(actor=user.name, kind=kind, name=name), user)
    key = FeatureKey(kind, name)
    regions = [
        region for region in sorted(backend.documents().regions) if key in backend.regions.held(region)
    ]
    names = ": " + ", ".join(regions) if regions else ""
    return render(
        request,
        "remove.html",
        title=f"Archive {kind}.{name}",
        effect=f"It is removed from {plural(len(regions), 'region')} immediately{names}.",
        why_not=None if isinstance(decision, FeatureEvent) else decision.message,  # type: ignore[union-attr]
        verb="Archive",
        back=f"/features/{kind}/{name}",
    )


@router.post("/features/{kind}/{name}/archive")
async def archive(
    kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser, form: PostedForm
) -> Response:
    """Remove a feature from every region."""
    command = ArchiveFeature(actor=user.name, kind=kind, name=name, reason=posted_reason(form))
    await backend.execute(command, user)
    return redirect_to(f"/features/{kind}/{name}")


@router.get("/pipelines/{id_}/delete")
async def confirm_delete(request: Request, id_: Name, backend: Backend, user: CurrentUser) -> Response:
    """Show whether a pipeline may be deleted."""
    decision = backend.preview(DeletePipeline(actor=user.name, pipeline_id=id_), user)
    return render(
        request,
        "remove.html",
        title=f"Delete pipeline {id_}",
        effect="No feature uses it. Features that were released through it do not change.",
        why_not=None if isinstance(decision, PutDocument) else decision.message,  # type: ignore[union-attr]
        verb="Delete",
        back=f"/pipelines/{id_}",
    )


@router.post("/pipelines/{id_}/delete")
async def delete(id_: Name, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Delete a pipeline."""
    command = DeletePipeline(actor=user.name, pipeline_id=id_, reason=posted_reason(form))
    await backend.execute(command, user)
    return redirect_to("/pipelines")


def _editor(
    request: Request,
    text: str,
    revision: int,
    title: str,
    back: str,
    *,
    error: str | None = None,
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
        error=error,
    )


def _text(form: FormData) -> str:
    return str(form.get("text", "")).replace("\r\n", "\n")


def _option(form: FormData) -> SaveOption:
    value = str(form.get("way", ""))
    return SaveOption(value) if value in set(SaveOption) else SaveOption.NORMAL


def _revision(form: FormData) -> int:
    revision = str(form.get("revision", "0"))
    return int(revision) if revision.isdecimal() and len(revision) < 16 else 0


def _conflict(draft: Draft, form: FormData) -> str | None:
    """Return an error if another user has changed the document since it was opened; else None."""
    if _revision(form) == draft.revision:
        return None
    if not draft.revision:
        return f"{draft.name} no longer exists"
    return f"{draft.name} was changed by {draft.modifier} in the meantime; open it again and repeat your edit"
