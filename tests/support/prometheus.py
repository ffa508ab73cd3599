"""A stub of Prometheus: a test sets its answers."""

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
#: The value of one series, the values of several, none, or another HTTP response.
Answer = float | list[float] | None | Response


class StubPrometheus:
    """Answers each query by `answer`, and records the queries."""

    def __init__(self) -> None:
        self.answer: Callable[[str], Answer] = lambda query: 0.0
        self.queries: list[str] = []
        self.url = ""
        self.app = Starlette(routes=[Route("/api/v1/query", self.respond, methods=METHODS)])

    def respond_with(self, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        """Let another function respond."""
        self.app.router.routes[:] = [Route("/api/v1/query", endpoint, methods=METHODS)]

    async def respond(self, request: Request) -> Response:
        sent = (await request.body()).decode() if request.method == "POST" else str(request.url.query)
        query = parse_qs(sent)["query"][0]
        self.queries.append(query)
        answer = self.answer(query)
        if isinstance(answer, Response):
            return answer
        values = [] if answer is None else answer if isinstance(answer, list) else [answer]
        series = [{"metric": {"n": str(n)}, "value": [0, str(v)]} for n, v in enumerate(values)]
        return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": series}})


def broken(status: int = 503) -> Response:
    """Return the error response of a Prometheus, or of a proxy before it."""
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
