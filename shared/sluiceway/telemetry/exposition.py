"""`/metrics`: collected on the event loop, whose state they show, and encoded in a thread."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from prometheus_client import REGISTRY, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from ..token_bucket import TokenBucket

#: The fastest level: Prometheus is usually in the same network.
GZIP_LEVEL = 1
#: Seconds in which a page is sent again after it was rendered.
FRESH_SECONDS = 1.0
#: Versions of the formats that Prometheus asks for.
USUAL_VERSIONS = ("0.0.4", "1.0.0")
#: Pages of single series, or of other versions, at a time and per second: each is rendered apart.
UNUSUAL_BURST = 10
UNUSUAL_PER_SECOND = 5

Encoder = Callable[[Collector], bytes]


#: What is awaited before the metrics are collected.
_preparations: list[Callable[[], Awaitable[None]]] = []


def prepare_before_scrapes(prepare: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Await `prepare` before metrics are collected, and return what ends that.

    Collecting blocks the event loop: what takes long is done before, with pauses.
    """
    _preparations.append(prepare)
    return lambda: _preparations.remove(prepare)


class MetricsPage(NamedTuple):
    """The response to a scrape."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    status: int = 200


TOO_MANY = MetricsPage(
    [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"1")],
    b"too many different queries of /metrics; try again in 1 s, or without name[]\n",
    429,
)


class _Snapshot(Collector):
    """The metrics at one moment."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class _Form(NamedTuple):
    """What a scrape asks for."""

    #: The series that the query names with `name[]`; empty for all.
    names: frozenset[str]
    content_type: str
    is_compressed: bool

    @property
    def is_usual(self) -> bool:
        return not self.names and any(
            f"version={version};" in self.content_type for version in USUAL_VERSIONS
        )


class _SharedPage:
    """A page that is being rendered, or was a moment ago."""

    def __init__(self, rendering: asyncio.Task[MetricsPage], clock: Callable[[], float]) -> None:
        self.rendering = rendering
        self._clock = clock
        self._fresh_until: float | None = None
        rendering.add_done_callback(self._end)

    def is_fresh(self) -> bool:
        return self._fresh_until is None or self._clock() < self._fresh_until

    def _end(self, rendering: asyncio.Task[MetricsPage]) -> None:
        self._fresh_until = self._clock() + FRESH_SECONDS


class MetricsPages:
    """The metrics of this process, rendered once for all who ask meanwhile and a moment later.

    Anybody may ask, and thousands of series take a while to collect and to encode.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: dict[_Form, _SharedPage] = {}
        self._unusual = TokenBucket(UNUSUAL_BURST, UNUSUAL_PER_SECOND, clock())

    async def page(self, scope: dict[str, Any]) -> MetricsPage:
        """Return every metric, or those that the query names; status 429 after too many unusual queries.

        A client that goes away does not end the rendering for the others.
        """
        encode, form = _encoder(scope)
        shared = self._pages.get(form)
        if shared is None or not shared.is_fresh():
            if not form.is_usual and not self._unusual.take(self._clock()):
                return TOO_MANY
            self._pages = {each: page for each, page in self._pages.items() if page.is_fresh()}
            shared = _SharedPage(asyncio.create_task(_render(encode, form)), self._clock)
            self._pages[form] = shared
        return await asyncio.shield(shared.rendering)


async def _render(encode: Encoder, form: _Form) -> MetricsPage:
    """Collect the metrics here, and encode them in a thread, which does not block the event loop."""
    for prepare in tuple(_preparations):
        await prepare()
    registry = REGISTRY.restricted_registry(form.names) if form.names else REGISTRY
    snapshot = _Snapshot(registry.collect())
    return await asyncio.to_thread(_encoded, encode, snapshot, form)


def _encoder(scope: dict[str, Any]) -> tuple[Encoder, _Form]:
    names = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("name[]", ())
    try:
        encode, content_type = choose_encoder(_header(scope, b"accept"))
    except TypeError:  # prometheus_client cannot compare a version such as `x`
        encode, content_type = choose_encoder("")
    is_compressed = gzip_accepted(_header(scope, b"accept-encoding"))
    return encode, _Form(frozenset(names), content_type, is_compressed)


def _encoded(encode: Encoder, snapshot: _Snapshot, form: _Form) -> MetricsPage:
    body = encode(snapshot)
    headers = [(b"content-type", form.content_type.encode())]
    if form.is_compressed:
        body = gzip.compress(body, GZIP_LEVEL)
        headers.append((b"content-encoding", b"gzip"))
    return MetricsPage(headers, body)


def _header(scope: dict[str, Any], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name)
