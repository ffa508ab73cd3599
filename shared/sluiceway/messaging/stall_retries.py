"""How long to try again while a broker stalls: one of a cluster elects a leader within 4 to 8 s."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..backoff import Backoff
from ..errors import RetryLater

Result = TypeVar("Result")

#: For all attempts together: an election, and half of another one.
STALL_SECONDS_MAX = 15.0
#: Between two attempts: the first pause, and the longest.
PAUSE_SECONDS = (0.1, 1.0)
PAUSE_JITTER = 0.5


class StallRetries:
    """The attempts at one thing: when the next one is due, and whether there is time for it."""

    def __init__(self, seconds_max: float = STALL_SECONDS_MAX) -> None:
        self._ends = time.monotonic() + seconds_max
        self._backoff = Backoff(*PAUSE_SECONDS, jitter=PAUSE_JITTER)
        self._has_begun = False

    @property
    def seconds_left(self) -> float:
        """The time until the last attempt has to be over."""
        return self._ends - time.monotonic()

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt has failed, and there is time for others."""
        return self._has_begun and self.seconds_left > 0

    def within(self, seconds: float) -> float:
        """Return the timeout of an attempt that takes `seconds` usually; less at the end of a stall."""
        return min(seconds, self.seconds_left) if self.is_under_way else seconds

    async def pause(self, seconds_min: float = 0.0) -> bool:
        """Wait until the next attempt, at least so long; return False, without a wait, if it is too late."""
        self._has_begun = True
        seconds = max(seconds_min, self._backoff.next_seconds())
        if seconds >= self.seconds_left:
            return False
        await asyncio.sleep(seconds)
        return True


async def through_stalls(
    attempt: Callable[[], Awaitable[Result]], seconds_max: float = STALL_SECONDS_MAX
) -> Result:
    """Return the result of `attempt`, which may be called again: while it fails for what passes soon.

    Raises the last `RetryLater` after `seconds_max`, or the first one if it is of another kind.
    """
    retries = StallRetries(seconds_max)
    while True:
        try:
            return await attempt()
        except RetryLater as error:
            if not (error.passes_soon and await retries.pause()):
                raise
