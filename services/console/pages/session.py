"""Who looks at a page, and what they have posted."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from sluiceway.contracts.identity import Identity

from ..authentication import Authentication, require_csrf

SIGN_IN = "/sign-in"


class SignInRequired(Exception):
    """Nobody is signed in."""


def _visitor(request: Request) -> Identity:
    authentication: Authentication = request.app.state.authentication
    identity = authentication.visitor(request)
    if identity is None:
        raise SignInRequired
    request.state.caller = identity
    return identity


#: Who is signed in; everybody else is sent to sign in, and comes back.
Visitor = Annotated[Identity, Depends(_visitor)]


async def _posted(request: Request) -> FormData:
    form = await request.form()
    require_csrf(request, str(form.get("csrf", "")))
    return form


#: The fields of a form of ours; 403 for one from elsewhere.
PostedForm = Annotated[FormData, Depends(_posted)]


async def redirect_to_sign_in(request: Request, error: Exception) -> Response:
    """Answer `SignInRequired`."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return redirect_to(f"{SIGN_IN}?next={quote(here, safe='')}" if request.method == "GET" else SIGN_IN)


def redirect_to(address: str) -> Response:
    """Return what sends a browser to a page of ours; to the overview, where the address is none of ours."""
    is_ours = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return RedirectResponse(address if is_ours else "/", 303)
