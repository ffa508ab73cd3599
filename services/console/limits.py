"""What one caller may take of the console, so that there is enough for the others."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated

from fastapi import HTTPException, Query
from pydantic import BeforeValidator

#: Bytes of a request's body: what a command may have.
BODY_BYTES_MAX = 256 * 1024
#: Seconds' worth of requests that somebody may send at once after a rest.
BURST_SECONDS = 10
#: Callers remembered; the longest silent is forgotten first, and starts with a full burst again.
CALLERS_MAX = 10_000

PAGE_SIZE = 20
PAGE_SIZE_MAX = 100
#: Pages from here on are refused: nobody has so many.
PAGE_MAX = 1_000_000
Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="Items a page.")]
Page = Annotated[int, Query(ge=1, le=PAGE_MAX, description="The page, from 1.")]


def _no_number(value: object) -> object:
    """Return what is to be read as a time: pydantic would take a number as seconds since 1970."""
    if isinstance(value, str) and value.replace(".", "", 1).lstrip("+-").isdigit():
        raise ValueError("write a date, for example 2026-11-24, or 2026-11-24T08:00:00Z")
    return value


#: `2026-11-24`
Day = Annotated[date, BeforeValidator(_no_number)]
#: `2026-11-24T08:00:00Z`
Moment = Annotated[datetime, BeforeValidator(_no_number)]


class RateLimiter:
    """A bucket of tokens per caller."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = per_second * BURST_SECONDS
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Take one token; 429, with when to come back, where none is left."""
        now = self._clock()
        left, since = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        self._buckets[caller] = (max(0.0, left - 1), now)
        while len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        if left < 1:
            wait = max(1, round((1 - left) / self._per_second))
            raise HTTPException(
                429,
                f"too many requests: {self._per_second:g} per second are taken; wait {wait} s",
                headers={"Retry-After": str(wait)},
            )
