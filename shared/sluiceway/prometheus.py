"""A client of Prometheus: instant queries, with a cache of answers.

HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import aiohttp
from cachetools import LRUCache
from yarl import URL

from .clock import Clock
from .errors import Misconfigured
from .pipelines.measurement import QueryResult
from .redaction import hide_userinfo
from .tasks import cancel_and_wait

log = logging.getLogger(__name__)

QUERY_TIMEOUT_SECONDS = 10.0
#: Queries under way at the same time, so that a large system does not overload its Prometheus.
QUERIES_MAX = 16
#: Characters of a query that is sent in the URL; a longer one is sent in the body.
URL_QUERY_MAX = 1_500
#: Series of one answer that are read.
SERIES_MAX = 1_000
#: Answers in the cache; the least recently used go first.
ANSWERS_MAX = 20_000
UNREACHABLE = "Prometheus cannot be reached"

#: Takes the outcome of a query (answered, no_data, refused, unreachable) and its seconds.
RecordQuery = Callable[[str, float], None]


def _not_recorded(outcome: str, seconds: float) -> None:
    """Record nothing: a command line has no metrics."""


class _CachedAnswer(NamedTuple):
    """A query that was sent at this time; its answer may still be on the way."""

    sent_ms: int
    result: "asyncio.Task[QueryResult]"


class PrometheusClient:
    """Sends queries. Callers with equal queries at about the same time share one answer."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        clock: Clock,
        record: RecordQuery = _not_recorded,
    ) -> None:
        self._session = session
        self._name = redacted_url(url)
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._clock = clock
        self._record = record
        self._free = asyncio.Semaphore(QUERIES_MAX)
        self._answers: LRUCache[str, _CachedAnswer] = LRUCache(ANSWERS_MAX)

    async def query(
        self, query: str, *, not_before_ms: int, timeout_seconds: float = QUERY_TIMEOUT_SECONDS
    ) -> QueryResult:
        """Return the answer to a query that was sent at this time (ms since the epoch) or later.

        Never raises. After `timeout_seconds` the result is an error; the answer, once it arrives, serves
        the next caller.
        """
        cached = self._answers.get(query)
        if cached is None or cached.sent_ms < not_before_ms:
            cached = _CachedAnswer(self._clock(), asyncio.create_task(self._send_bounded(query)))
            self._answers[query] = cached
        done, _ = await asyncio.wait({cached.result}, timeout=timeout_seconds)
        return (
            cached.result.result() if done else QueryResult(error=f"no answer within {timeout_seconds:g} s")
        )

    async def close(self) -> None:
        """Cancel the queries that are still under way."""
        for cached in tuple(self._answers.values()):
            await cancel_and_wait(cached.result)

    async def _send_bounded(self, query: str) -> QueryResult:
        async with self._free:
            started = time.perf_counter()
            outcome, result = await self._send(query)
            self._record(outcome, time.perf_counter() - started)
            return result

    async def _send(self, query: str) -> tuple[str, QueryResult]:
        try:
            async with self._request(query) as response:
                body = _json(await response.read())
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a header cannot be sent
            log.warning("%s: no answer: %s", self._name, str(error) or type(error).__name__)
            return "unreachable", QueryResult(error=UNREACHABLE)
        if response.status != 200 or body.get("status") != "success":
            is_refused = body.get("errorType") in ("bad_data", "execution")
            details = f"{body.get('errorType', 'error')}: {body['error']}" if "error" in body else ""
            text = f"Prometheus answered {response.status} {details}".rstrip()
            return "refused" if is_refused else "unreachable", QueryResult(error=text)
        result = _result(body.get("data"))
        return "answered" if result.values or result.error else "no_data", result

    def _request(self, query: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a GET, which every proxy lets through, or a POST if the query is too long for a URL."""
        form = {"query": query}
        if len(query) > URL_QUERY_MAX:
            return self._session.post(self._url, data=form, allow_redirects=False)
        return self._session.get(self._url, params=form, allow_redirects=False)


@contextlib.asynccontextmanager
async def open_prometheus(
    url: str, clock: Clock, token: str | None = None, record: RecordQuery = _not_recorded
) -> AsyncIterator[PrometheusClient]:
    """Yield a client while the block runs; it sends the bearer `token`, if there is one.

    Nothing is sent before the first query. `Misconfigured` if the URL holds a password besides the token.
    """
    if token and "@" in url:
        raise Misconfigured("two credentials for Prometheus: leave out the token, or the user in the URL")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=QUERIES_MAX),
        timeout=aiohttp.ClientTimeout(total=QUERY_TIMEOUT_SECONDS),
        headers={"Authorization": f"Bearer {token}"} if token else None,
    ) as session:
        client = PrometheusClient(session, url, clock, record)
        try:
            yield client
        finally:
            await client.close()


def redacted_url(url: str) -> str:
    """Return the address of a Prometheus without the user and password that it may hold.

    `Misconfigured` if it is invalid.
    """
    invalid = f"invalid Prometheus URL {hide_userinfo(url)!r}: use http://HOST:9090 or https://HOST:9090"
    try:
        parsed = URL(url)
    except ValueError:
        raise Misconfigured(invalid) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Misconfigured(invalid)
    return str(parsed.with_user(None)).rstrip("/")


def _json(data: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; empty if there is none, as on a proxy's error page."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _result(data: Any) -> QueryResult:
    try:
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return QueryResult((float(result[1]),))
        if kind == "vector":
            return QueryResult(tuple(float(series["value"][1]) for series in result[:SERIES_MAX]))
    except (KeyError, IndexError, TypeError, ValueError):
        return QueryResult(error="invalid answer from Prometheus")
    return QueryResult(error=f"the query returns a {kind}: it must return one value per series")
