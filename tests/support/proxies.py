"""A reverse proxy such as those before an edge: it cuts a path off, adds headers, compresses answers."""

import gzip
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings

from .http import http_client

METHODS = ["GET", "POST", "OPTIONS"]
#: Headers of one connection, which a proxy does not pass on.
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


class Proxy(NamedTuple):
    """A running proxy, and what it has passed on: method, path, and the status of the answer."""

    url: str
    requests: list[str]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@asynccontextmanager
async def proxying(
    upstream: str,
    *,
    port: int = 0,
    cut_off: str = "",
    compresses: bool = False,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Proxy]:
    """Run a proxy before `upstream` until the block ends; `port` 0 means any free one.

    `cut_off` is removed from the beginning of each path. With `compresses`, answers are compressed and
    their tags made weak, as nginx does. `headers` are added to each request.
    """
    requests: list[str] = []
    async with http_client(timeout=15) as http:

        async def forward(request: Request) -> Response:
            path = request.url.path
            passed_on = [
                (name, value)
                for name, value in request.headers.items()
                if name not in HOP_BY_HOP and name not in (headers or {})
            ]
            sent = http.build_request(
                request.method,
                upstream + path.removeprefix(cut_off),
                params=str(request.query_params),
                headers=[*passed_on, *(headers or {}).items()],
                content=await request.body(),
            )
            answer = await http.send(sent, stream=True)
            requests.append(f"{request.method} {path} {answer.status_code}")
            return await _passed_on(answer, compresses=compresses)

        app = Starlette(routes=[Route("/{path:path}", forward, methods=METHODS)])
        async with health_server(ServiceSettings(http_port=port), _ready, app) as url:
            yield Proxy(url, requests)


async def _passed_on(answer: httpx2.Response, *, compresses: bool) -> Response:
    headers = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
    if headers.get("content-type", "").startswith("text/event-stream"):
        return StreamingResponse(_chunks(answer), answer.status_code, headers)
    body = b"".join([chunk async for chunk in answer.aiter_raw()])
    await answer.aclose()
    if compresses and body and "content-encoding" not in headers:
        body = gzip.compress(body)
        headers["content-encoding"] = "gzip"
    if compresses and "etag" in headers and not headers["etag"].startswith("W/"):
        headers["etag"] = f"W/{headers['etag']}"
    return Response(body, answer.status_code, headers)


async def _chunks(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


async def _ready() -> dict[str, str]:
    return {}


def app_that_tells(about: list[dict[str, Any]]) -> Any:
    """Return an ASGI application that answers 204, and keeps the scope of each request in `about`."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        about.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    return app
