"""Who is signed in on the page, and what they have posted."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from sluiceway.contracts.identity import Identity, Role
from sluiceway.pipelines.permissions import describe_grants, has_role_somewhere

from ..authentication import Authentication
from ..csrf import csrf_checked_form
from ..reading_turns import take_turn

SIGN_IN = "/sign-in"


class SignInRequired(Exception):
    """Nobody is signed in."""


def _visitor(request: Request) -> Identity | None:
    """Return who is signed in, if anybody is, and count the request once."""
    authentication: Authentication = request.app.state.authentication
    return authentication.authenticate_page(request)


#: Who is signed in; None if nobody is. The request is counted.
Visitor = Annotated[Identity | None, Depends(_visitor)]


async def _current_user(request: Request, visitor: Visitor) -> Identity:
    if visitor is None:
        raise SignInRequired
    request.state.user = visitor
    await take_turn(request, visitor)
    return visitor


async def _posted_form(request: Request, visitor: Visitor) -> FormData:
    """Return the form; the request is counted before it is read."""
    return await csrf_checked_form(request)


def _author(user: Annotated[Identity, Depends(_current_user)]) -> Identity:
    if has_role_somewhere(user, Role.EDITOR):
        return user
    raise HTTPException(
        403,
        f"{user.name} may not change features or pipelines: this needs the role editor or admin, but "
        f"{user.name} is granted {describe_grants(user)}; ask an admin for it",
    )


#: Who is signed in. Everybody else is sent to the sign-in page, and from there back.
CurrentUser = Annotated[Identity, Depends(_current_user)]
#: Who is signed in and may change some feature or pipeline; 403 for everybody else, whose texts are not read.
Author = Annotated[Identity, Depends(_author)]
#: The fields of a posted form; 403 without the CSRF token of the session.
PostedForm = Annotated[FormData, Depends(_posted_form)]


async def redirect_to_sign_in(request: Request, error: Exception) -> Response:
    """Answer `SignInRequired`."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return redirect_to(f"{SIGN_IN}?next={quote(here, safe='')}" if request.method == "GET" else SIGN_IN)


def redirect_to(address: str) -> Response:
    """Return a redirect to one of our pages; to the overview if `address` is on another site."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return RedirectResponse(address if is_local else "/", 303)


def posted_reason(form: FormData) -> str | None:
    """Return the reason that a form gives; None if it is empty."""
    return str(form.get("reason") or "").strip() or None
