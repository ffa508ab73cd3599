"""Edit features and pipelines as text: checked while the user types, previewed before it is saved."""

from functools import partial

from fastapi import APIRouter, HTTPException, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from sluiceway.contracts.commands import ArchiveFeature, DeletePipeline
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind, Name
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import RefusalCode
from sluiceway.contracts.revisions import NOTHING_STORED
from sluiceway.pipelines.catalogue_decisions import PutDocument

from ..dependencies import Backend
from ..errors import CommandRefused
from .document_text import InvalidDraft, document_text, new_text
from .draft_pages import Edited, conflict_page, editor_page, posted_revision, preview_page
from .drafts import SaveOption, current_text, parse_draft, preview_draft, save_command
from .renderer import plural, render
from .session import Author, CurrentUser, PostedForm, posted_reason, redirect_to

router = APIRouter()


@router.get("/features/new")
async def new_feature(request: Request, user: CurrentUser, kind: FeatureKind = FeatureKind.GATE) -> Response:
    """Show the editor for a new gate, config or segment."""
    title = f"New {kind.replace('_', ' ')}"
    return editor_page(request, Edited(new_text(kind), NOTHING_STORED, title, "/features"))


@router.get("/features/{kind}/{name}/edit")
async def edit_feature(
    request: Request, kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser
) -> Response:
    """Show the editor for a feature."""
    entry = backend.features.get(FeatureKey(kind, name))
    if entry is None:
        raise HTTPException(404, f"{kind}.{name} does not exist")
    text = await current_text(backend, user, entry)
    title, back = f"Edit {kind}.{name}", f"/features/{kind}/{name}"
    return editor_page(request, Edited(text, entry.revision_tag, title, back))


@router.get("/pipelines/new")
async def new_pipeline(request: Request, user: CurrentUser) -> Response:
    """Show the editor for a new pipeline."""
    edited = Edited(new_text("pipeline"), NOTHING_STORED, "New pipeline", "/pipelines")
    return editor_page(request, edited)


@router.get("/pipelines/{id_}/edit")
async def edit_pipeline(request: Request, id_: Name, backend: Backend, user: CurrentUser) -> Response:
    """Show the editor for a pipeline."""
    stored = backend.catalogue.get("pipeline", id_)
    if stored is None or not isinstance(stored.document, Pipeline):
        raise HTTPException(404, f"pipeline {id_!r} does not exist")
    text = await backend.in_thread(user, partial(document_text, stored.document))
    title = f"Edit pipeline {id_}"
    return editor_page(request, Edited(text, stored.revision_tag, title, f"/pipelines/{id_}"))


@router.post("/drafts/check")
async def check(request: Request, backend: Backend, user: Author, form: PostedForm) -> Response:
    """Return whether a text could be saved, as a fragment of a page."""
    try:
        draft = await parse_draft(backend, user, Edited.posted(form).text)
        preview = await preview_draft(backend, user, draft)
    except InvalidDraft as error:
        return render(request, "checked.html", error=str(error), outcome="")
    return render(request, "checked.html", error=preview.refusal, outcome=preview.outcome)


@router.post("/drafts/preview")
async def preview(request: Request, backend: Backend, user: Author, form: PostedForm) -> Response:
    """Show what saving would do."""
    edited = Edited.posted(form)
    try:
        draft = await parse_draft(backend, user, edited.text)
    except InvalidDraft as error:
        return editor_page(request, edited, error=str(error), code=400)
    return await preview_page(request, backend, user, draft, edited, _option(form))


@router.post("/drafts/edit")
async def edit_again(request: Request, user: CurrentUser, form: PostedForm) -> Response:
    """Show the editor again with an unsaved text."""
    return editor_page(request, Edited.posted(form))


@router.post("/drafts/save")
async def save(request: Request, backend: Backend, user: Author, form: PostedForm) -> Response:
    """Save a draft; a form that is sent twice is saved once.

    409, with the text and the newest version, if another user has changed the document since it was opened.
    """
    edited = Edited.posted(form)
    try:
        draft = await parse_draft(backend, user, edited.text)
    except InvalidDraft as error:
        raise HTTPException(400, str(error)) from error
    command = save_command(
        draft,
        user,
        _option(form),
        posted_reason(form),
        command_id=str(form.get("command") or "") or None,
        read=edited.revision,
    )
    try:
        reply = await backend.execute(command, user)
    except CommandRefused as error:
        stale = await backend.stale_refusal(command)
        if error.refusal.code is not RefusalCode.STALE or stale is None:
            raise
        return await conflict_page(request, backend, user, edited, stale.message)
    trigger = reply.feature.active_trigger if reply.feature else None
    return redirect_to(f"/triggers/{trigger.id}" if trigger else draft.address)


@router.get("/features/{kind}/{name}/archive")
async def confirm_archive(
    request: Request, kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser
) -> Response:
    """Show what archiving a feature would do."""
    decision = await backend.preview(ArchiveFeature(actor=user.name, kind=kind, name=name), user)
    key = FeatureKey(kind, name)
    entry = backend.features.get(key)
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
        revision=entry.revision_tag if entry else NOTHING_STORED,
        back=f"/features/{kind}/{name}",
    )


@router.post("/features/{kind}/{name}/archive")
async def archive(
    kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser, form: PostedForm
) -> Response:
    """Remove a feature from every region, as the user has seen it."""
    command = ArchiveFeature(
        actor=user.name,
        kind=kind,
        name=name,
        reason=posted_reason(form),
        expected_revision=posted_revision(form) if "revision" in form else None,
    )
    await backend.execute(command, user)
    return redirect_to(f"/features/{kind}/{name}")


@router.get("/pipelines/{id_}/delete")
async def confirm_delete(request: Request, id_: Name, backend: Backend, user: CurrentUser) -> Response:
    """Show whether a pipeline may be deleted."""
    decision = await backend.preview(DeletePipeline(actor=user.name, pipeline_id=id_), user)
    return render(
        request,
        "remove.html",
        title=f"Delete pipeline {id_}",
        effect="No feature uses it. Features that were released through it do not change.",
        why_not=None if isinstance(decision, PutDocument) else decision.message,  # type: ignore[union-attr]
        verb="Delete",
        revision=backend.catalogue.revision_tag("pipeline", id_),
        back=f"/pipelines/{id_}",
    )


@router.post("/pipelines/{id_}/delete")
async def delete(id_: Name, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Delete a pipeline, as the user has seen it."""
    command = DeletePipeline(
        actor=user.name,
        pipeline_id=id_,
        reason=posted_reason(form),
        expected_revision=posted_revision(form) if "revision" in form else None,
    )
    await backend.execute(command, user)
    return redirect_to("/pipelines")


def _option(form: FormData) -> SaveOption:
    value = str(form.get("way", ""))
    return SaveOption(value) if value in set(SaveOption) else SaveOption.NORMAL
