"""Builds the console and wires its adapters."""

import secrets
from contextlib import AsyncExitStack

from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware

from sluiceway import __version__
from sluiceway.clock import now_ms
from sluiceway.messaging.connection import Connection
from sluiceway.service import Service

from . import api, official, pages
from .bootstrap import create_first_key
from .callers import Callers, Keys
from .desk import Desk, Reception
from .faults import answer_faults
from .fences import Fences
from .limits import Rate
from .measured import Measured
from .oidc import provider_of
from .pages.rendering import error_page
from .pages.visitors import SignInFirst, send_to_sign_in
from .settings import Settings

COOKIE = "sluiceway"


class Console(Service):
    """The running console."""

    name = "console"
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.reception = Reception()
        self.pages = Measured(build(settings, self.reception))

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Follow the log, the catalogue and the regions; then let everybody in."""
        self.missing = {"log": "not read to its end yet; is a scheduler running?"}
        desk = Desk(connection)
        for view in (desk.features, desk.catalogue, desk.regions):
            await stack.enter_async_context(view)
            await view.caught_up()
        await stack.enter_async_context(desk.changes)
        await create_first_key(desk, self.settings.bootstrap_key_file)
        self.reception.desk = desk


def build(settings: Settings, reception: Reception) -> FastAPI:
    """Return the application: every route, behind the fences."""
    app = FastAPI(
        title="Sluiceway",
        version=__version__,
        summary="Release pipelines for feature gates and dynamic configs.",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.reception = reception
    app.state.callers = Callers(
        Keys(reception, now_ms),
        Rate(settings.requests_per_second),
        provider_of(settings),
        settings.session_seconds * 1_000,
        now_ms,
    )
    answer_faults(app, error_page)
    app.exception_handler(SignInFirst)(send_to_sign_in)
    is_tls = (settings.public_url or "").startswith("https://")
    app.add_middleware(
        SessionMiddleware,
        secret_key=_secret(settings),
        session_cookie=COOKIE,
        max_age=settings.session_seconds,
        same_site="lax",  # strict would lose who comes back from signing in elsewhere
        https_only=is_tls,
    )
    app.add_middleware(Fences, is_tls=is_tls)
    for router in (official.router, api.router, pages.router):
        app.include_router(router)
    app.mount("/static", pages.static)
    return app


def _secret(settings: Settings) -> str:
    given = settings.session_secret
    return given.get_secret_value() if given else secrets.token_urlsafe(32)
