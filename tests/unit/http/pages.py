"""A server of pages that a test may hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings

ATTACKER, OTHER = "127.0.0.2", "127.0.0.3"
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * 20_000_000


async def ready() -> dict[str, str]:
    return {}


class Pages:
    """Answers `/`; holds `/held`, and the body of `/late`, until released; answers at length at `/large`."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.held = 0
        self.paths: list[str] = []
        self.sent_bytes = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        if scope["path"] == "/held":
            self.held += 1
            await self.release.wait()
        if scope["path"] == "/late":
            await self.release.wait()
        if scope["method"] == "POST":
            while (message := await receive()).get("more_body"):
                pass
            if message["type"] == "http.disconnect":
                return
        body = LARGE if scope["path"] == "/large" else b"done"
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(pages: Pages, **settings: Any) -> AsyncIterator[str]:
    async with health_server(ServiceSettings(**settings), ready, pages) as url:
        try:
            yield url
        finally:
            pages.release.set()
