"""Sign in with a key or through the identity provider, and sign out."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from ..audit_recorder import audit_recorder
from ..authentication import Authentication
from ..csrf import ensure_csrf_token, renew_csrf_token
from ..dependencies import Backend
from ..ended_sessions import SIGN_IN_SECONDS
from ..oidc import CALLBACK, IdentityProvider
from ..sessions import SESSION_FIELD, Session, session_of_account, session_of_key
from .renderer import render
from .session import SIGN_IN, PostedForm, redirect_to

router = APIRouter()

#: In the cookie of somebody who is at the identity provider: the page to go to, and since when.
NEXT_PAGE = "next"
SENT_AT = "sent"


@router.get(SIGN_IN)
async def show_sign_in(request: Request, next: str = "/") -> Response:
    """Show the form."""
    ensure_csrf_token(request.session)
    return _form(request, next)


@router.post(SIGN_IN)
async def sign_in(request: Request, form: PostedForm, backend: Backend) -> Response:
    """Start a session for the owner of a valid key."""
    next_page = str(form.get("next", "/"))
    stored = await _authentication(request).verify_key(request, str(form.get("key", "")).strip())
    if stored is None:
        audit_recorder(request).sign_in_failed(request, "this key is wrong, revoked or expired")
        return _form(request, next_page, error="This key is wrong, revoked or expired.")
    start_session(request, session_of_key(stored, backend.clock()))
    audit_recorder(request).signed_in(request, stored.identity)
    return redirect_to(next_page)


@router.post("/sign-out")
async def sign_out(request: Request, form: PostedForm, backend: Backend) -> Response:
    """End the session everywhere, so that no copy of its cookie is good for anything."""
    return await _end_session(request, backend.ended_sessions.end, everywhere=False)


@router.post("/sign-out/everywhere")
async def sign_out_everywhere(request: Request, form: PostedForm, backend: Backend) -> Response:
    """End all sessions that were started with the same key or account."""
    return await _end_session(request, backend.ended_sessions.end_all, everywhere=True)


@router.get(f"{SIGN_IN}/elsewhere")
async def redirect_to_provider(request: Request, backend: Backend, next: str = "/") -> Response:
    """Send the browser to the identity provider."""
    identity_provider = _identity_provider(request)
    request.session[NEXT_PAGE] = next
    request.session[SENT_AT] = backend.clock()
    return await identity_provider.redirect(request)


@router.get(CALLBACK)
async def callback(request: Request, backend: Backend) -> Response:
    """Start a session for a user whom the identity provider has signed in, once for each answer of it."""
    sent_ms = int(request.session.get(SENT_AT, 0))
    user = await _identity_provider(request).complete_sign_in(request)
    session = session_of_account(user.account, user.name, user.groups, backend.clock())
    _authentication(request).count_sign_in(session)
    is_late = backend.clock() >= sent_ms + SIGN_IN_SECONDS * 1_000
    if is_late or not await backend.ended_sessions.use_once(request.query_params.get("state", "")):
        raise HTTPException(401, "this sign-in is too old, or was used before; sign in again")
    next_page = str(request.session.get(NEXT_PAGE, "/"))
    start_session(request, session)
    if identity := _identity_provider(request).identity(user.name, user.account, user.groups):
        audit_recorder(request).signed_in(request, identity)
    return redirect_to(next_page)


async def _end_session(
    request: Request, end: Callable[[Session], Awaitable[None]], *, everywhere: bool
) -> Response:
    authentication = _authentication(request)
    session, identity = authentication.session(request), authentication.session_identity(request)
    if session:
        await end(session)
    if identity:
        audit_recorder(request).signed_out(request, identity, everywhere=everywhere)
    request.session.clear()
    return redirect_to(SIGN_IN)


def _authentication(request: Request) -> Authentication:
    authentication: Authentication = request.app.state.authentication
    return authentication


def _identity_provider(request: Request) -> IdentityProvider:
    identity_provider = _authentication(request).identity_provider
    if identity_provider is None:
        raise HTTPException(404, "no identity provider is configured: set SLUICEWAY_OIDC_ISSUER")
    return identity_provider


def _form(request: Request, next_page: str, *, error: str | None = None) -> Response:
    provider = _authentication(request).identity_provider
    return render(
        request,
        "sign_in.html",
        code=401 if error else 200,
        next=next_page,
        error=error,
        provider=provider.host if provider else None,
    )


def start_session(request: Request, session: Session) -> None:
    """Start a session, with nothing of an earlier one."""
    request.session.clear()
    request.session[SESSION_FIELD] = session.to_jsonable()
    renew_csrf_token(request.session)
