"""Reads metrics: instant queries of a Prometheus.

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
from yarl import URL

from .clock import Clock
from .errors import Misconfigured
from .pipelines.measurement import QueryResult
from .tasks import cancel_and_wait

log = logging.getLogger(__name__)

QUERY_TIMEOUT_SECONDS = 10.0
#: Queries under way at once, so that a large system does not flood its Prometheus.
QUERIES_MAX = 16
#: Characters of a query that stands in an address.
ADDRESS_MAX = 1_500
#: Series of one answer that are read.
SERIES_MAX = 1_000
#: Answers remembered for those who ask the same; the oldest go first.
ANSWERS_MAX = 20_000
UNREACHABLE = "Prometheus cannot be reached"

#: Takes the outcome of a query (answered, no_data, refused, unreachable) and its seconds.
RecordQuery = Callable[[str, float], None]


def _not_recorded(outcome: str, seconds: float) -> None:
    """Record nothing: a command line has no metrics."""


class _Asked(NamedTuple):
    at_ms: int
    answer: "asyncio.Task[QueryResult]"


class PrometheusClient:
    """Asks queries; who asks the same at about the same time gets the same answer."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        clock: Clock,
        record: RecordQuery = _not_recorded,
    ) -> None:
        self._session = session
        self._shown = redacted_url(url)
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._clock = clock
        self._record = record
        self._free = asyncio.Semaphore(QUERIES_MAX)
        self._asked: dict[str, _Asked] = {}

    async def ask(
        self, query: str, *, not_before_ms: int, timeout_seconds: float = QUERY_TIMEOUT_SECONDS
    ) -> QueryResult:
        """Return the answer to a query, asked at this time (ms since the epoch) or later. Never raises.

        One that takes longer than `timeout_seconds` is an error, for whoever waits no longer.
        """
        known = self._asked.get(query)
        if known is None or known.at_ms < not_before_ms:
            self._asked.pop(query, None)
            known = _Asked(self._clock(), asyncio.create_task(self._bounded(query)))
            self._asked[query] = known
            while len(self._asked) > ANSWERS_MAX:
                del self._asked[next(iter(self._asked))]
        done, _ = await asyncio.wait({known.answer}, timeout=timeout_seconds)
        return known.answer.result() if done else QueryResult(error=f"no answer within {timeout_seconds:g} s")

    async def close(self) -> None:
        """Give up what is still being asked."""
        for asked in self._asked.values():
            await cancel_and_wait(asked.answer)

    async def _bounded(self, query: str) -> QueryResult:
        async with self._free:
            started = time.perf_counter()
            outcome, result = await self._send(query)
            self._record(outcome, time.perf_counter() - started)
            return result

    async def _send(self, query: str) -> tuple[str, QueryResult]:
        try:
            async with self._request(query) as response:
                body = _json(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("%s does not answer: %s", self._shown, str(error) or type(error).__name__)
            return "unreachable", QueryResult(error=UNREACHABLE)
        if response.status != 200 or body.get("status") != "success":
            is_refused = body.get("errorType") in ("bad_data", "execution")
            why = f"{body.get('errorType', 'error')}: {body['error']}" if "error" in body else ""
            text = f"Prometheus answered {response.status} {why}".rstrip()
            return "refused" if is_refused else "unreachable", QueryResult(error=text)
        answer = _answer(body.get("data"))
        return "answered" if answer.values or answer.error else "no_data", answer

    def _request(self, query: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Ask by GET, which every proxy lets through; by POST where the query is too long for an address."""
        said = {"query": query}
        if len(query) > ADDRESS_MAX:
            return self._session.post(self._url, data=said, allow_redirects=False)
        return self._session.get(self._url, params=said, allow_redirects=False)


@contextlib.asynccontextmanager
async def open_prometheus(
    url: str, clock: Clock, token: str | None = None, record: RecordQuery = _not_recorded
) -> AsyncIterator[PrometheusClient]:
    """Give a Prometheus to ask while the block runs, with a bearer `token` if it wants one.

    Nothing is sent yet.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=QUERIES_MAX),
        timeout=aiohttp.ClientTimeout(total=QUERY_TIMEOUT_SECONDS),
        headers={"Authorization": f"Bearer {token}"} if token else None,
    ) as session:
        asked = PrometheusClient(session, url, clock, record)
        try:
            yield asked
        finally:
            await asked.close()


def redacted_url(url: str) -> str:
    """Return the address of a Prometheus without the user and password that it may hold.

    `Misconfigured` where it is none.
    """
    try:
        parsed = URL(url)
    except ValueError as error:
        raise Misconfigured(f"{url!r} is no address of a Prometheus: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Misconfigured(f"{url!r} is no address of a Prometheus; write http://HOST:9090")
    return str(parsed.with_user(None)).rstrip("/")


def _json(data: bytes) -> dict[str, Any]:
    """Return what the bytes say; empty where that is no JSON object, as on a proxy's error page."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _answer(data: Any) -> QueryResult:
    try:
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return QueryResult((float(result[1]),))
        if kind == "vector":
            return QueryResult(tuple(float(series["value"][1]) for series in result[:SERIES_MAX]))
    except (KeyError, IndexError, TypeError, ValueError):
        return QueryResult(error="the answer of Prometheus cannot be read")
    return QueryResult(error=f"the query gives a {kind}, not one value for each series")
