"""A Prometheus that answers as a test says."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings

METHODS = ("GET", "POST")
#: A value of one series, those of several, none at all, or an HTTP status in place of an answer.
Said = float | list[float] | None | Response


class StubPrometheus:
    """Answers each query by `says`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.says: Callable[[str], Said] = lambda query: 0.0
        self.asked: list[str] = []
        self.url = ""
        self.app = Starlette(routes=[Route("/api/v1/query", self._query, methods=METHODS)])

    def answer_with(self, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        """Let another function answer."""
        self.app.router.routes[:] = [Route("/api/v1/query", endpoint, methods=METHODS)]

    async def _query(self, request: Request) -> Response:
        sent = (await request.body()).decode() if request.method == "POST" else str(request.url.query)
        query = parse_qs(sent)["query"][0]
        self.asked.append(query)
        said = self.says(query)
        if isinstance(said, Response):
            return said
        values = [] if said is None else said if isinstance(said, list) else [said]
        series = [{"metric": {"n": str(n)}, "value": [0, str(v)]} for n, v in enumerate(values)]
        return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": series}})


def broken(status: int = 503) -> Response:
    """Return the answer of a Prometheus, or of a proxy before it, that cannot answer."""
    return PlainTextResponse("no", status)


@contextlib.asynccontextmanager
async def stub_prometheus() -> AsyncIterator[StubPrometheus]:
    """Serve a stub on a free port."""

    async def ready() -> dict[str, str]:
        return {}

    stub = StubPrometheus()
    async with health_server(ServiceSettings(), ready, stub.app) as url:
        stub.url = url
        yield stub
