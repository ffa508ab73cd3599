"""Sign in with a key or through the identity provider, and sign out."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from sluiceway.clock import now_ms

from ..authentication import Authentication
from ..csrf import ensure_csrf_token, renew_csrf_token
from ..oidc import CALLBACK, IdentityProvider
from .renderer import render
from .session import SIGN_IN, PostedForm, redirect_to

router = APIRouter()


@router.get(SIGN_IN)
async def show_sign_in(request: Request, next: str = "/") -> Response:
    """Show the form."""
    ensure_csrf_token(request.session)
    return _form(request, next)


@router.post(SIGN_IN)
async def sign_in(request: Request, form: PostedForm) -> Response:
    """Start a session for the owner of a valid key."""
    authentication: Authentication = request.app.state.authentication
    next_page = str(form.get("next", "/"))
    stored = await authentication.verify_key(request, str(form.get("key", "")).strip())
    if stored is None:
        return _form(request, next_page, error="This key is wrong, revoked or expired.")
    start_session(request, {"key": stored.id})
    return redirect_to(next_page)


@router.post("/sign-out")
async def sign_out(request: Request, form: PostedForm) -> Response:
    """End the session of this browser."""
    request.session.clear()
    return redirect_to(SIGN_IN)


@router.get(f"{SIGN_IN}/elsewhere")
async def redirect_to_provider(request: Request, next: str = "/") -> Response:
    """Send the browser to the identity provider."""
    identity_provider = _identity_provider(request)
    request.session["next"] = next
    return await identity_provider.redirect(request)


@router.get(CALLBACK)
async def callback(request: Request) -> Response:
    """Start a session for a user whom the identity provider has signed in."""
    claims = await _identity_provider(request).complete_sign_in(request)
    next_page = str(request.session.get("next", "/"))
    start_session(request, {**claims, "since": now_ms()})
    return redirect_to(next_page)


def _identity_provider(request: Request) -> IdentityProvider:
    authentication: Authentication = request.app.state.authentication
    if authentication.identity_provider is None:
        raise HTTPException(404, "no identity provider is configured: set SLUICEWAY_OIDC_ISSUER")
    return authentication.identity_provider


def _form(request: Request, next_page: str, *, error: str | None = None) -> Response:
    authentication: Authentication = request.app.state.authentication
    provider = authentication.identity_provider
    return render(
        request,
        "sign_in.html",
        code=401 if error else 200,
        next=next_page,
        error=error,
        provider=provider.host if provider else None,
    )


def start_session(request: Request, content: dict[str, Any]) -> None:
    """Start a session with this content, and with nothing of an earlier one."""
    request.session.clear()
    request.session.update(content)
    renew_csrf_token(request.session)
