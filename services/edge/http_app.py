"""The HTTP application of an edge; the health pages are added to it by `http.server`.

Starlette's requests, responses and routes, without its layers around them: they took longer than an
evaluation, and more memory than a held poll.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sluiceway.http.headers import header
from sluiceway.http.server import AsgiApp

from .public_address import PublicAddress

#: For responses whose route says nothing else: each depends on a key, and may contain values of a user.
PRIVATE = (b"cache-control", b"private, no-store")
#: Browsers of any origin may use an edge, with a key.
CORS = {
    "allow_origins": ["*"],
    "allow_methods": ["POST", "GET"],
    "allow_headers": ["Content-Type", "Authorization", "X-API-Key", "If-None-Match", "Last-Event-ID"],
}
TO_BROWSERS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag, Retry-After"),
)
#: For responses that may be stored: a browser's differ by the two fields above.
VARY = (b"vary", b"Origin")

log = logging.getLogger(__name__)


class _Match(NamedTuple):
    """The route of a path, and what the path says."""

    route: Route
    params: dict[str, Any]


class _Pattern(NamedTuple):
    """A route whose path ends with a parameter."""

    start: str
    param: str
    #: Whether the parameter may be empty, and may have slashes in it.
    is_path: bool
    route: Route


def build_http_app(routes: Sequence[Route], address: PublicAddress) -> AsgiApp:
    """Return the application.

    It never redirects. A path may begin with two slashes: OpenFeature's JavaScript clients send that
    if their base URL ends with one. It may begin with the path of `address`, too.
    """
    return _HttpApp(routes, address)


class _HttpApp:
    def __init__(self, routes: Sequence[Route], address: PublicAddress) -> None:
        self._address = address
        self._plain = {route.path: _Match(route, {}) for route in routes if not route.param_convertors}
        self._patterns = [_pattern(route) for route in routes if route.param_convertors]
        self._cors = CORSMiddleware(self, **CORS)  # type: ignore[arg-type]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        request, asked = Request(scope, receive), scope["headers"]
        is_browser = header(asked, b"origin") is not None
        if is_browser and scope["method"] == "OPTIONS" and header(asked, b"access-control-request-method"):
            response = self._cors.preflight_response(request.headers)
        else:
            response = await self._answer(request)
            if is_browser:
                response.raw_headers += TO_BROWSERS
        headers = response.raw_headers
        headers.append(VARY if header(headers, PRIVATE[0]) else PRIVATE)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        scope = request.scope
        path = self._address.route_path(scope["path"], lambda path: self._match(path) is not None)
        match = self._match(path)
        if match is None:
            return _refused(404, "Not Found")
        methods = match.route.methods or set()
        if scope["method"] not in methods:
            return _refused(405, "Method Not Allowed", {"allow": ", ".join(sorted(methods))})
        scope["path"], scope["path_params"] = path, match.params
        try:
            response: Response = await match.route.endpoint(request)
        except ClientDisconnect:
            return Response(status_code=408)  # nobody receives it
        except Exception as error:
            # Without the URL, which may contain a key.
            log.error("a request failed", exc_info=error)
            return _refused(500, "internal error; see the log of the edge", code="GENERAL")
        return response

    def _match(self, path: str) -> _Match | None:
        if plain := self._plain.get(path):
            return plain
        for start, param, is_path, route in self._patterns:
            if path.startswith(start):
                rest = path[len(start) :]
                if is_path or (rest and "/" not in rest):
                    return _Match(route, {param: rest})
        return None


def _pattern(route: Route) -> _Pattern:
    start, _, param = route.path.removesuffix("}").partition("{")
    name, _, convertor = param.partition(":")
    return _Pattern(start, name, convertor == "path", route)


def _refused(
    status: int, details: str, headers: dict[str, str] | None = None, code: str | None = None
) -> Response:
    body = {"message": details, "errorDetails": details, **({"errorCode": code} if code else {})}
    return JSONResponse(body, status, headers)
