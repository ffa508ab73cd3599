"""Sign in with a key, sign out."""

import secrets
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..callers import Callers
from .rendering import render
from .visitors import SIGN_IN, Posted, to

router = APIRouter()


@router.get(SIGN_IN)
async def ask(request: Request, next: str = "/") -> Response:
    """Show the form."""
    request.session.setdefault("csrf", secrets.token_urlsafe(24))
    return render(request, "sign_in.html", next=next, fault=None)


@router.post(SIGN_IN)
async def sign_in(request: Request, form: Posted) -> Response:
    """Open a session for whoever shows a valid key."""
    callers: Callers = request.app.state.callers
    onward = str(form.get("next", "/"))
    stored = await callers.prove(request, str(form.get("key", "")).strip())
    if stored is None:
        fault = "This key is wrong, revoked or expired."
        return render(request, "sign_in.html", code=401, next=onward, fault=fault)
    begin(request, {"key": stored.id})
    return to(onward)


@router.post("/sign-out")
async def sign_out(request: Request, form: Posted) -> Response:
    """End the session of this browser."""
    request.session.clear()
    return to(SIGN_IN)


def begin(request: Request, who: dict[str, Any]) -> None:
    """Begin a session; nothing of what the browser held before stays in it."""
    request.session.clear()
    request.session.update(who, csrf=secrets.token_urlsafe(24))
