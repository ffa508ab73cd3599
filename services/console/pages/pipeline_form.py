"""A pipeline as a form: its fields become the same YAML that the editor shows, and are saved like it."""

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from sluiceway.contracts.identifiers import Name
from sluiceway.contracts.pipeline import PHASES_MAX, Pipeline
from sluiceway.contracts.revisions import RevisionTag
from sluiceway.yaml_documents import dump_yaml

from ..dependencies import Backend
from .document_text import InvalidDraft, document_text, parse_yaml
from .draft_pages import Edited, editor_page, posted_revision, preview_page
from .drafts import parse_draft
from .renderer import render
from .session import Author, CurrentUser, PostedForm

router = APIRouter()

#: Lists that a phase has as YAML, in one text field each.
LISTS = ("rules", "guardrails")
_MOVE = re.compile(r"(remove|up|down)-(\d{1,3})")


@dataclass(frozen=True)
class PhaseInputs:
    """A phase as text fields."""

    id: str = ""
    name: str = ""
    bake: str = "30m"
    review: bool = False
    count: str = ""
    groups: str = ""
    author: bool = False
    rules: str = "- name: everyone\n"
    guardrails: str = ""


@dataclass(frozen=True)
class PipelineFields:
    """A pipeline as text fields."""

    id: str
    name: str
    notice: str
    observe: str
    scope: str
    confirmation: bool
    phases: tuple[PhaseInputs, ...]


@router.get("/pipelines/{id_}/form")
async def edit(request: Request, id_: Name, backend: Backend, user: CurrentUser) -> Response:
    """Show a pipeline as a form."""
    stored = backend.catalogue.get("pipeline", id_)
    if stored is None or not isinstance(stored.document, Pipeline):
        raise HTTPException(404, f"pipeline {id_!r} does not exist")
    fields = await backend.in_thread(user, partial(_stored_fields, stored.document))
    return _form(request, fields, stored.revision_tag)


@router.post("/pipelines/{id_}/form")
async def change(request: Request, id_: Name, backend: Backend, user: Author, form: PostedForm) -> Response:
    """Add, remove or move a phase; show the YAML; or preview."""
    fields = with_phase_moved(read_fields(form, id_), str(form.get("do", "")))
    revision = posted_revision(form)
    if form.get("do") not in ("preview", "yaml"):
        return _form(request, fields, revision)
    try:
        text = await backend.in_thread(user, lambda: dump_yaml(document_from_fields(fields)))
        draft = await parse_draft(backend, user, text)
    except InvalidDraft as error:
        return _form(request, fields, revision, error=str(error))
    edited = Edited(text, revision, f"Edit pipeline {id_}", f"/pipelines/{id_}")
    if form.get("do") == "yaml":
        return editor_page(request, edited)
    return await preview_page(request, backend, user, draft, edited)


def _stored_fields(pipeline: Pipeline) -> PipelineFields:
    return fields_of(parse_yaml(document_text(pipeline)))


def fields_of(document: dict[str, Any]) -> PipelineFields:
    """Return the document of a valid pipeline as fields."""
    return PipelineFields(
        id=str(document.get("id", "")),
        name=document["name"],
        notice=document.get("triggerNotice") or "",
        observe=_duration(document, "observeFor"),
        scope=document.get("rollbackScope", "trigger"),
        confirmation=bool(document.get("requireConfirmation", True)),
        phases=tuple(_phase_fields(phase) for phase in document["phases"]),
    )


def document_from_fields(fields: PipelineFields) -> dict[str, Any]:
    """Return fields as a document; `InvalidDraft` if the YAML in one of them is invalid."""
    document: dict[str, Any] = {"kind": "ReleasePipeline", "id": fields.id, "name": fields.name}
    document["phases"] = [_phase_document(phase) for phase in fields.phases]
    if fields.notice:
        document["triggerNotice"] = fields.notice
    if fields.observe:
        document["observeFor"] = fields.observe
    return {**document, "rollbackScope": fields.scope, "requireConfirmation": fields.confirmation}


def read_fields(form: FormData, id_: str) -> PipelineFields:
    """Return the posted fields."""

    def value(name: str) -> str:
        return str(form.get(name, "")).replace("\r\n", "\n").strip()

    def phase(n: int) -> PhaseInputs:
        return PhaseInputs(
            **{
                name: value(f"phase-{n}-{name}") for name in ("id", "name", "bake", "count", "groups", *LISTS)
            },
            review=bool(value(f"phase-{n}-review")),
            author=bool(value(f"phase-{n}-author")),
        )

    count = 0
    while count < PHASES_MAX and f"phase-{count}-name" in form:
        count += 1
    return PipelineFields(
        id=id_,
        name=value("name"),
        notice=value("notice"),
        observe=value("observe"),
        scope=value("scope"),
        confirmation=bool(value("confirmation")),
        phases=tuple(phase(n) for n in range(count)),
    )


def with_phase_moved(fields: PipelineFields, button: str) -> PipelineFields:
    """Return the fields with a phase added, removed or moved, as a button of the form names it."""
    phases = list(fields.phases)
    if button == "add" and len(phases) < PHASES_MAX:
        return replace(fields, phases=(*phases, PhaseInputs()))
    if not (match := _MOVE.fullmatch(button)) or int(match[2]) >= len(phases):
        return fields
    index = int(match[2])
    phase = phases.pop(index)
    if match[1] != "remove":
        phases.insert(max(0, index - 1 if match[1] == "up" else index + 1), phase)
    return replace(fields, phases=tuple(phases))


def _phase_fields(phase: dict[str, Any]) -> PhaseInputs:
    approvals = phase.get("approvals") or {}
    return PhaseInputs(
        id=phase.get("id", ""),
        name=phase["name"],
        bake=_duration(phase, "timeInterval") or "0s",
        review=bool(phase.get("requiredReview")),
        count=str(approvals.get("count", 1)) if phase.get("approvals") is not None else "",
        groups=", ".join(approvals.get("groups") or ()),
        author=bool(approvals.get("allowAuthor")),
        rules=_text(phase["rules"]),
        guardrails=_text(phase.get("guardrails") or []),
    )


def _duration(document: dict[str, Any], name: str) -> str:
    """Return a duration as its field shows it; empty if there is none."""
    milliseconds = document.get(f"{name}Ms")
    return str(document.get(name) or (f"{milliseconds}ms" if milliseconds else ""))


def _phase_document(fields: PhaseInputs) -> dict[str, Any]:
    phase: dict[str, Any] = {"name": fields.name, "timeInterval": fields.bake or "0s"}
    if fields.id:
        phase["id"] = fields.id
    if fields.review:
        phase["requiredReview"] = True
    if fields.count or fields.groups or fields.author:
        phase["requiredReview"] = True
        phase["approvals"] = {
            "count": int(fields.count) if fields.count.isdecimal() else fields.count or 1,
            "groups": [group.strip() for group in fields.groups.split(",") if group.strip()] or None,
            "allowAuthor": fields.author,
        }
    phase["rules"] = _list("rules", fields)
    phase["guardrails"] = _list("guardrails", fields)
    return phase


def _list(name: str, fields: PhaseInputs) -> Any:
    try:
        return parse_yaml(getattr(fields, name)) or []
    except InvalidDraft as error:
        raise InvalidDraft(f"phase {fields.name}, {name}: {error}") from error


def _text(items: list[Any]) -> str:
    return dump_yaml(items) if items else ""


def _form(
    request: Request, fields: PipelineFields, revision: RevisionTag, *, error: str | None = None
) -> Response:
    code = 400 if error else 200
    return render(request, "form.html", code=code, pipeline=fields, revision=revision, error=error)
