"""`/metrics`: collected on the event loop, whose state they show, and encoded in a thread."""

import asyncio
import gzip
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from prometheus_client import REGISTRY, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

#: The fastest level: Prometheus is usually in the same network.
GZIP_LEVEL = 1


class MetricsPage(NamedTuple):
    """The response to a scrape."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Snapshot(Collector):
    """The metrics at one moment."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


async def render_metrics(scope: dict[str, Any]) -> MetricsPage:
    """Return every metric of this process, or those that the query names with `name[]`.

    Thousands of series take a while to encode; in a thread, that does not block the event loop.
    """
    names = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("name[]")
    registry = REGISTRY.restricted_registry(names) if names else REGISTRY
    snapshot = _Snapshot(registry.collect())
    accepted = _header(scope, b"accept"), _header(scope, b"accept-encoding")
    return await asyncio.to_thread(_encode, snapshot, *accepted)


def _encode(snapshot: _Snapshot, accept: str, encodings: str) -> MetricsPage:
    encoder, content_type = choose_encoder(accept)
    body = encoder(snapshot)
    headers = [(b"content-type", content_type.encode())]
    if gzip_accepted(encodings):
        body = gzip.compress(body, GZIP_LEVEL)
        headers.append((b"content-encoding", b"gzip"))
    return MetricsPage(headers, body)


def _header(scope: dict[str, Any], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name)
