"""The pages of a draft: the editor, the preview, and both texts if somebody else came first."""

from functools import partial
from typing import NamedTuple
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import FormData
from starlette.responses import Response

from sluiceway.contracts.identity import Identity
from sluiceway.contracts.revisions import NOTHING_STORED, RevisionTag, is_revision_tag

from ..backend import ConsoleBackend
from ..errors import CONFLICT
from .diff import diff_lines
from .drafts import Draft, SaveOption, parse_draft, preview_draft, save_command
from .renderer import render


class Edited(NamedTuple):
    """What somebody is editing: the text, and what the form around it holds."""

    text: str
    #: The revision that the text was made from.
    revision: RevisionTag
    title: str
    back: str

    @classmethod
    def posted(cls, form: FormData) -> "Edited":
        """Return what a form holds."""
        text = str(form.get("text", "")).replace("\r\n", "\n")
        return cls(text, posted_revision(form), str(form.get("title", "Edit")), str(form.get("back", "/")))


def posted_revision(form: FormData) -> RevisionTag:
    """Return the revision that a form was made from; that of a new document if it names none."""
    revision = str(form.get("revision", ""))
    return revision if is_revision_tag(revision) else NOTHING_STORED


def editor_page(request: Request, edited: Edited, *, error: str | None = None, code: int = 200) -> Response:
    """Show the editor."""
    return render(request, "editor.html", code=code, edited=edited, error=error, conflict=None, lines=[])


async def conflict_page(
    request: Request, backend: ConsoleBackend, user: Identity, edited: Edited, message: str
) -> Response:
    """Show the editor with the user's text, and what differs from the newest version.

    What is saved from here was made from that version.
    """
    draft = await parse_draft(backend, user, edited.text)
    lines = await backend.in_thread(user, partial(diff_lines, draft.before, edited.text))
    return render(
        request,
        "editor.html",
        code=CONFLICT,
        edited=edited._replace(revision=draft.revision),
        error=None,
        conflict=message,
        lines=lines,
    )


async def preview_page(
    request: Request,
    backend: ConsoleBackend,
    user: Identity,
    draft: Draft,
    edited: Edited,
    option: SaveOption = SaveOption.NORMAL,
) -> Response:
    """Show what saving a draft would do; or what has changed since it was opened."""
    stale = await backend.stale_refusal(save_command(draft, user, read=edited.revision))
    if stale:
        return await conflict_page(request, backend, user, edited, stale.message)
    return render(
        request,
        "preview.html",
        draft=draft,
        edited=edited,
        command_id=uuid4().hex,
        preview=await preview_draft(backend, user, draft, option),
    )
