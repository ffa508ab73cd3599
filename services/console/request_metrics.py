"""Metrics of every request: its route, its status, and the time until its response starts."""

import time
from typing import Any

from sluiceway.http.server import AsgiApp

from . import metrics

#: Path prefixes of the APIs → their label. Every other path is a page.
SURFACES = {"/console/": "official", "/api/": "ours"}
PAGE = "page"
#: The label of requests that match no route.
NO_ROUTE = "none"


class RequestMetrics:
    """ASGI middleware that measures an application."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        started = time.perf_counter()

        async def send_measured(message: Any) -> None:
            if message["type"] == "http.response.start":
                metrics.REQUESTS.labels(_route(scope), message["status"]).inc()
                metrics.REQUEST_SECONDS.labels(_surface(scope)).observe(time.perf_counter() - started)
            await send(message)

        await self.app(scope, receive, send_measured)


def _route(scope: dict[str, Any]) -> str:
    """Return the path template of a request: a label must not have as many values as there are features.

    A route knows its template without the prefixes of its routers; the path has them.
    """
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return NO_ROUTE
    names = scope["path"].split("/")
    return "/".join(names[: len(names) - template.count("/")]) + str(template)


def _surface(scope: dict[str, Any]) -> str:
    path = scope["path"]
    return next((name for start, name in SURFACES.items() if path.startswith(start)), PAGE)
