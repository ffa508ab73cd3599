"""The HTTP application of an edge; the health pages are added to it by `http.server`."""

import logging
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from sluiceway.http.server import AsgiApp

from .public_address import PublicAddress

#: For responses whose route says nothing else: each depends on a key, and may contain values of a user.
PRIVATE = "private, no-store"

log = logging.getLogger(__name__)


def build_http_app(routes: list[BaseRoute], address: PublicAddress) -> AsgiApp:
    """Return the application. Browsers of any origin may use it, with a key.

    It never redirects. A path may begin with two slashes: OpenFeature's JavaScript clients send that
    if their base URL ends with one. It may begin with the path of `address`, too.
    """
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["POST", "GET"],
        allow_headers=["Content-Type", "Authorization", "X-API-Key", "If-None-Match", "Last-Event-ID"],
        expose_headers=["ETag", "Retry-After"],
    )
    handlers = {HTTPException: _refused, ClientDisconnect: _disconnected, Exception: _failed}
    starlette = Starlette(routes=routes, middleware=[cors], exception_handlers=handlers)
    starlette.router.redirect_slashes = False

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        def is_route(path: str) -> bool:
            return any(route.matches({**scope, "path": path})[0] is not Match.NONE for route in routes)

        async def send_private(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("cache-control", PRIVATE)
            await send(message)

        path = address.route_path(scope["path"], is_route)
        await starlette({**scope, "path": path}, receive, send_private)

    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = {"message": error.detail, "errorDetails": error.detail}
    return JSONResponse(body, error.status_code, headers=error.headers)


async def _disconnected(request: Request, error: Exception) -> Response:
    return Response(status_code=408)  # nobody receives it


async def _failed(request: Request, error: Exception) -> Response:
    # Without the URL, which may contain a key.
    log.error("a request failed", exc_info=error)
    details = "internal error; see the log of the edge"
    body = {"message": details, "errorCode": "GENERAL", "errorDetails": details}
    return JSONResponse(body, status_code=500)
