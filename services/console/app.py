"""Builds the console and wires its adapters."""

import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import cache

from fastapi import APIRouter, FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import BaseRoute

from sluiceway import __version__
from sluiceway.http.concurrency_limit import ConcurrencyLimit
from sluiceway.http.file_descriptors import http_connections_max, raise_file_descriptor_limit
from sluiceway.messaging.connection import Connection
from sluiceway.service import FollowedView, Service
from sluiceway.turns import Turns

from . import api, official, pages
from .audit_recorder import AuditRecorder
from .authentication import Authentication, KeyVerifier
from .backend import BackendProvider, ConsoleBackend
from .bootstrap import create_first_key
from .errors import add_error_handlers
from .limits import EVENT_STREAMS_MAX, RateLimiter
from .middleware import RequestGuard
from .oidc import identity_provider
from .pages.renderer import error_page
from .pages.session import SignInRequired, redirect_to_sign_in
from .reading_turns import REQUESTS_MAX, ReadingTurns
from .request_metrics import RequestMetrics
from .settings import Settings

COOKIE = "sluiceway"


class Console(Service):
    """The running console."""

    name = "console"
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.backend_provider = BackendProvider()
        self.pages = RequestMetrics(build(settings, self.backend_provider))

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Follow the log, the catalogue and the regions; serve requests once all have caught up."""
        clock = await self.broker_clock(connection, stack, decides=False)
        backend = ConsoleBackend(connection, clock)
        views: dict[str, FollowedView] = {
            "log": backend.features,
            "catalogue": backend.catalogue,
            "regions": backend.regions,
            "ended sessions": backend.ended_sessions,
        }
        await self.follow_all(views, stack)
        backend.names.sort()
        await stack.enter_async_context(backend.trail)
        await stack.enter_async_context(backend.events)
        await create_first_key(backend, self.settings.bootstrap_key_file)
        self.backend_provider.backend = backend


def build(settings: Settings, backend_provider: BackendProvider) -> FastAPI:
    """Return the application: all routes behind the middleware."""
    app = FastAPI(
        title="Sluiceway",
        version=__version__,
        summary="Release pipelines for feature gates and dynamic configs.",
        docs_url=None,  # these pages load scripts from other sites
        redoc_url=None,
        redirect_slashes=False,
        routes=list(_routes()),
    )
    app.state.backend_provider = backend_provider
    app.state.audit = AuditRecorder(backend_provider.trail)
    app.state.authentication = Authentication(
        KeyVerifier(backend_provider, backend_provider.now_ms),
        RateLimiter(settings.requests_per_second),
        identity_provider(settings),
        settings.session_seconds * 1_000,
        backend_provider.now_ms,
        lambda session: session in backend_provider().ended_sessions,
    )
    app.state.streams = _stream_limit(settings)
    app.state.reading_turns = Turns(REQUESTS_MAX)
    add_error_handlers(app, error_page)
    app.exception_handler(SignInRequired)(redirect_to_sign_in)
    is_tls = (settings.public_url or "").startswith("https://")
    app.add_middleware(
        SessionMiddleware,
        secret_key=_secret(settings),
        session_cookie=COOKIE,
        max_age=settings.session_seconds,
        same_site="lax",  # strict would drop the cookie on the redirect from an identity provider
        https_only=is_tls,
    )
    app.add_middleware(RequestGuard, is_tls=is_tls)
    app.add_middleware(ReadingTurns)
    return app


@cache
def _routes() -> Sequence[BaseRoute]:
    """Return all routes. FastAPI analyses each before its first request: 0.2 s, once in a process."""
    every = APIRouter()
    for router in (official.router, api.router, pages.router):
        every.include_router(router)
    every.mount("/static", pages.static)
    return tuple(every.routes)


def _stream_limit(settings: Settings) -> ConcurrencyLimit:
    """Return the bound on event streams: those of one caller take at most half of all connections."""
    total = min(EVENT_STREAMS_MAX, http_connections_max(raise_file_descriptor_limit()))
    return ConcurrencyLimit(total, min(settings.streams_per_caller, total // 2))


def _secret(settings: Settings) -> str:
    secret = settings.session_secret
    return secret.get_secret_value() if secret else secrets.token_urlsafe(32)
