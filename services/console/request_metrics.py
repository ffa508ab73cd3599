"""What is counted of every request: where it went, how it ended, and how long its answer took to begin."""

import time
from typing import Any

from sluiceway.http.server import AsgiApp

from . import metrics

#: How addresses begin, and what they belong to; whatever is none of these is a page.
SURFACES = {"/console/": "official", "/api/": "ours"}
PAGE = "page"
NOWHERE = "none"


class RequestMetrics:
    """An ASGI application, measured."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        begun = time.perf_counter()

        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                metrics.REQUESTS.labels(_route(scope), message["status"]).inc()
                metrics.REQUEST_SECONDS.labels(_surface(scope)).observe(time.perf_counter() - begun)
            await send(message)

        await self.app(scope, receive, noting)


def _route(scope: dict[str, Any]) -> str:
    """Return the template of the address: a label must not have as many values as there are features.

    A route knows its template without the prefixes of its routers; those stand in the address.
    """
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return NOWHERE
    names = scope["path"].split("/")
    return "/".join(names[: len(names) - template.count("/")]) + str(template)


def _surface(scope: dict[str, Any]) -> str:
    path = scope["path"]
    return next((name for start, name in SURFACES.items() if path.startswith(start)), PAGE)
