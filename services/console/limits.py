"""Limits on what one caller can send and read, so that all callers are served."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated

from cachetools import LRUCache
from fastapi import HTTPException, Query
from pydantic import AfterValidator, BeforeValidator

from sluiceway.contracts.freeze import YEARS
from sluiceway.token_bucket import TokenBucket

#: Bytes of a request's body: as many as a command may have.
BODY_BYTES_MAX = 256 * 1024
#: Seconds' worth of requests that a caller may send immediately after a rest.
BURST_SECONDS = 10
#: Callers remembered. The least recent one is forgotten first, and starts again with a full burst.
CALLERS_MAX = 10_000

#: Event streams of all callers at the same time.
EVENT_STREAMS_MAX = 5_000
#: After how many seconds somebody may try again who has too many of them.
RETRY_STREAM_SECONDS = 5

PAGE_SIZE = 20
PAGE_SIZE_MAX = 100
#: Pages beyond this number are refused: no list is so long.
PAGE_MAX = 1_000_000
Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="Items per page.")]
Page = Annotated[int, Query(ge=1, le=PAGE_MAX, description="The page, from 1.")]


def _refuse_number(value: object) -> object:
    """Return `value` unless it is a number: pydantic would read that as seconds since 1970."""
    if isinstance(value, str) and value.replace(".", "", 1).lstrip("+-").isdigit():
        raise ValueError("write a date, for example 2026-11-24, or 2026-11-24T08:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    """Return a time, in UTC if it names no zone; refuse years that no log has."""
    if moment.year not in YEARS:
        raise ValueError(f"invalid year {moment.year}: it must be between {YEARS[0]} and {YEARS[-1]}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


#: `2026-11-24`
Day = Annotated[date, BeforeValidator(_refuse_number)]
#: `2026-11-24T08:00:00Z`; without a zone, in UTC
Moment = Annotated[datetime, BeforeValidator(_refuse_number), AfterValidator(_in_utc)]


class RateLimiter:
    """A token bucket per caller."""

    def __init__(
        self, per_second: float, clock: Callable[[], float] = time.monotonic, *, burst: float | None = None
    ) -> None:
        """`burst`: requests immediately after a rest; None: those of `BURST_SECONDS`."""
        self._per_second = per_second
        self._burst = per_second * BURST_SECONDS if burst is None else burst
        self._clock = clock
        self._buckets: LRUCache[str, TokenBucket] = LRUCache(CALLERS_MAX)

    def consume(self, caller: str) -> None:
        """Take one token from a caller's bucket; 429 with `Retry-After` if it is empty."""
        now = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = TokenBucket(self._burst, self._per_second, now)
        if not bucket.take(now):
            wait = max(1, round(bucket.seconds_until_next(now)))
            raise HTTPException(
                429,
                f"too many requests: the limit is {self._per_second:g} per second; retry in {wait} s",
                headers={"Retry-After": str(wait)},
            )
