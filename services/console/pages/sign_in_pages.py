"""Sign in with a key or elsewhere, sign out."""

import secrets
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from sluiceway.clock import now_ms

from ..authentication import Authentication
from ..oidc import CALLBACK, Provider
from .renderer import render
from .session import SIGN_IN, PostedForm, redirect_to

router = APIRouter()


@router.get(SIGN_IN)
async def ask(request: Request, next: str = "/") -> Response:
    """Show the form."""
    request.session.setdefault("csrf", secrets.token_urlsafe(24))
    return _form(request, next)


@router.post(SIGN_IN)
async def sign_in(request: Request, form: PostedForm) -> Response:
    """Open a session for whoever shows a valid key."""
    authentication: Authentication = request.app.state.authentication
    onward = str(form.get("next", "/"))
    stored = await authentication.prove(request, str(form.get("key", "")).strip())
    if stored is None:
        return _form(request, onward, fault="This key is wrong, revoked or expired.")
    begin(request, {"key": stored.id})
    return redirect_to(onward)


@router.post("/sign-out")
async def sign_out(request: Request, form: PostedForm) -> Response:
    """End the session of this browser."""
    request.session.clear()
    return redirect_to(SIGN_IN)


@router.get(f"{SIGN_IN}/elsewhere")
async def elsewhere(request: Request, next: str = "/") -> Response:
    """Send somebody to the provider."""
    provider = _provider(request)
    request.session["next"] = next
    return await provider.send(request)


@router.get(CALLBACK)
async def back(request: Request) -> Response:
    """Open a session for whoever the provider has signed in."""
    who = await _provider(request).received(request)
    onward = str(request.session.get("next", "/"))
    begin(request, {**who, "since": now_ms()})
    return redirect_to(onward)


def _provider(request: Request) -> Provider:
    authentication: Authentication = request.app.state.authentication
    if authentication.provider is None:
        raise HTTPException(404, "nobody signs in elsewhere here; SLUICEWAY_OIDC_ISSUER is not set")
    return authentication.provider


def _form(request: Request, onward: str, *, fault: str | None = None) -> Response:
    authentication: Authentication = request.app.state.authentication
    host = authentication.provider.host if authentication.provider else None
    code = 401 if fault else 200
    return render(request, "sign_in.html", code=code, next=onward, fault=fault, provider=host)


def begin(request: Request, who: dict[str, Any]) -> None:
    """Begin a session; nothing of what the browser held before stays in it."""
    request.session.clear()
    request.session.update(who, csrf=secrets.token_urlsafe(24))
