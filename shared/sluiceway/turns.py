"""One or few at a time: those who want the same, or the requests of one caller, take turns in a process."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from .errors import Unavailable

#: How long one waits for those before it, if nothing else is said.
WAIT_SECONDS = 10.0


class Turns:
    """A lock for each key, as long as somebody holds or awaits it; up to `count` hold it at the same time."""

    def __init__(self, count: int = 1, *, wait_seconds: float | None = None) -> None:
        self._count = count
        self._wait_seconds = wait_seconds
        self._locks: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[None]:
        """Hold the lock of a key while the block runs; `Unavailable` if it is not free in time."""
        lock = self._locks.get(key) or self._locks.setdefault(key, asyncio.Semaphore(self._count))
        seconds = WAIT_SECONDS if self._wait_seconds is None else self._wait_seconds
        try:
            async with asyncio.timeout(seconds):
                await lock.acquire()
        except TimeoutError:
            raise Unavailable(f"too many requests for {key} at the same time") from None
        try:
            yield
        finally:
            lock.release()
