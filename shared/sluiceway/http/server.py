"""The HTTP side of every process: `/metrics`, `/healthz`, `/readyz`, until a signal ends it."""

import asyncio
import contextlib
import functools
import gc
import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import uvicorn

from ..settings import ServiceSettings
from ..tasks import cancel_and_wait
from ..telemetry.exposition import MetricsPages
from .bounded_protocol import BoundedProtocol
from .connections import Connections
from .file_descriptors import http_connections_max, raise_file_descriptor_limit
from .listening import authority, listen
from .proxies import ForwardedHeaders
from .request_bounds import RequestBounds

#: Returns what is not ready, and why; empty if the process is ready.
ReadinessCheck = Callable[[], Awaitable[dict[str, str]]]

#: Returns what is wrong although the process is ready, and why.
Warnings = Callable[[], dict[str, str]]

#: An ASGI application.
AsgiApp = Callable[..., Awaitable[None]]

READINESS_TIMEOUT_SECONDS = 2.0
SHUTDOWN_TIMEOUT_SECONDS = 5
#: Connections that the system accepts before this process looks at them.
BACKLOG = 256
#: A connection that is to be closed, but whose client does not read the rest, is closed after once or twice
#: this: 10 s, in ticks of 0.1 s.
END_UNREAD_EVERY_TICKS = 100
#: Garbage collections of the middle generation before a full one; Python's default is 10.
FULL_COLLECTION_AFTER = 1_000
#: The same for a service with pages: each connection leaves a reference cycle of about 1 kB.
FULL_COLLECTION_AFTER_WITH_PAGES = 100


async def run_service(
    settings: ServiceSettings,
    service: AbstractAsyncContextManager[Any],
    readiness: ReadinessCheck,
    pages: AsgiApp | None = None,
    warnings: Warnings = dict,
) -> None:
    """Serve the health pages, run `service` inside, and return after SIGTERM or SIGINT.

    `pages` handles every other path, on the same port. The health pages answer from the start, so
    that a process that waits for its broker can be told from a dead one.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with health_server(settings, readiness, pages, warnings):
        await _run_until_stopped(
            service, stop, FULL_COLLECTION_AFTER_WITH_PAGES if pages else FULL_COLLECTION_AFTER
        )


@contextlib.asynccontextmanager
async def health_server(
    settings: ServiceSettings,
    readiness: ReadinessCheck,
    pages: AsgiApp | None = None,
    warnings: Warnings = dict,
) -> AsyncIterator[str]:
    """Serve the health pages and `pages` while the block runs; yield their URL."""
    listener = listen(settings.http_host, settings.http_port)
    # asyncio sets this only on sockets that are created as TCP, unlike these. Without it, responses on
    # a kept-alive connection wait 40 ms for an acknowledgement. Accepted sockets inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    url = f"http://{authority(*listener.getsockname()[:2])}"
    total = http_connections_max(raise_file_descriptor_limit())
    per_address = settings.http_connections_per_address
    bounded = RequestBounds(pages or _not_found, per_address)
    app = ForwardedHeaders(
        _with_health_pages(readiness, warnings, bounded, settings.public_path), settings.trusted_proxies
    )
    connections = Connections(total, per_address, app.is_trusted)
    server = _Server(
        uvicorn.Config(
            app,
            http=functools.partial(BoundedProtocol, connections),  # type: ignore[arg-type]
            interface="asgi3",
            ws="none",
            backlog=BACKLOG,
            timeout_keep_alive=settings.http_keep_alive_seconds,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_SECONDS,
            server_header=False,
            proxy_headers=False,  # uvicorn would trust 127.0.0.1, and an environment variable
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    if settings.http_announce:
        write_atomically(settings.http_announce, url)
    try:
        yield url
    finally:
        server.should_exit = True
        await serving


def write_atomically(path: Path, text: str) -> None:
    """Write a small file atomically: a reader sees all of it or the previous content."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.replace(path)


async def _run_until_stopped(
    service: AbstractAsyncContextManager[Any], stop: asyncio.Event, full_collection_after: int
) -> None:
    _collect_rarely(full_collection_after)
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(service.__aenter__())
    await asyncio.wait({stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        await cancel_and_wait(starting)
        return
    starting.result()
    _exclude_from_collections()
    await stopping
    await service.__aexit__(None, None, None)


def _collect_rarely(full_collection_after: int) -> None:
    """Make full garbage collections rare, also while a service reads 100,000 features at its start.

    Each would stop the process for as long as it looks at all that is kept, and free nearly nothing: models
    are not part of reference cycles.
    """
    gc.collect()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, full_collection_after)


def _exclude_from_collections() -> None:
    """Exclude the objects that exist after the start, without a look at each of them."""
    gc.collect(1)
    gc.freeze()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to `run_service`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % END_UNREAD_EVERY_TICKS == 0:
            for connection in list(self.server_state.connections):
                assert isinstance(connection, BoundedProtocol)
                connection.end_unread()
        return await super().on_tick(counter)


async def _not_found(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await _answer(send, 404, {"message": "not found; try /metrics, /healthz or /readyz"})


def _with_health_pages(
    readiness: ReadinessCheck, warnings: Warnings, others: AsgiApp, public_path: str
) -> AsgiApp:
    unready, pages = _SharedReadiness(readiness), MetricsPages()

    async def metrics(scope: dict[str, Any], send: Any) -> None:
        page = await pages.page(scope)
        await send({"type": "http.response.start", "status": page.status, "headers": page.headers})
        await send({"type": "http.response.body", "body": page.body})

    async def ready(send: Any) -> None:
        missing = await unready.check()
        status = "waiting" if missing else "ready"
        wrong = warnings()
        body = {"status": status, "missing": missing} | ({"warnings": wrong} if wrong else {})
        await _answer(send, 503 if missing else 200, body)

    def app(scope: dict[str, Any], receive: Any, send: Any) -> Awaitable[None]:
        match scope["path"].removeprefix(public_path):
            case "/metrics" | "/metrics/":
                return metrics(scope, send)
            case "/healthz":
                return _answer(send, 200, {"status": "alive"})
            case "/readyz":
                return ready(send)
            case _:
                return others(scope, receive, send)

    return app


class _SharedReadiness:
    """Checks readiness once for all who ask meanwhile: a check asks the broker, and anybody may ask."""

    def __init__(self, readiness: ReadinessCheck) -> None:
        self._readiness = readiness
        self._running: asyncio.Task[dict[str, str]] | None = None

    async def check(self) -> dict[str, str]:
        """Return what is not ready; a client that goes away does not end the check for the others."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._check())
        return await asyncio.shield(self._running)

    async def _check(self) -> dict[str, str]:
        try:
            async with asyncio.timeout(READINESS_TIMEOUT_SECONDS):
                return await self._readiness()
        except TimeoutError:
            return {"readiness": f"timed out after {READINESS_TIMEOUT_SECONDS:g} s"}


async def _answer(send: Any, status: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
