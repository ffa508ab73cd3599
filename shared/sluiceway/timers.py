"""A heap of times: each item is met when its time has come, so many at once."""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from .clock import Clock

T = TypeVar("T")

#: The clock is looked at at least so often, should it jump.
LOOK_AGAIN_SECONDS = 1.0


class Timers(Generic[T]):
    """Calls `handle` with each item that was pushed, at its time or soon after."""

    def __init__(self, handle: Callable[[T], Awaitable[None]], clock: Clock, workers: int) -> None:
        self._handle = handle
        self._clock = clock
        self._heap: list[tuple[int, int, T]] = []
        self._order = itertools.count()
        self._earlier = asyncio.Event()
        self._free = asyncio.Semaphore(workers)
        self._running: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    def push(self, at_ms: int, item: T) -> None:
        """Meet an item at this time, in milliseconds since the epoch."""
        heapq.heappush(self._heap, (at_ms, next(self._order), item))
        if self._heap[0][2] is item:
            self._earlier.set()

    async def run(self) -> None:
        """Meet what is due until cancelled, or until `handle` raises: a time must not be lost unnoticed."""
        try:
            while True:
                await self._until_due()
                if self._fault:
                    raise self._fault
                while self._heap and self._heap[0][0] <= self._clock():
                    await self._free.acquire()
                    self._start(heapq.heappop(self._heap)[2])
        finally:
            for task in self._running:
                task.cancel()

    async def _until_due(self) -> None:
        self._earlier.clear()
        wait = LOOK_AGAIN_SECONDS
        if self._heap:
            wait = min(wait, max(0, self._heap[0][0] - self._clock()) / 1_000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._earlier.wait()

    def _start(self, item: T) -> None:
        task = asyncio.ensure_future(self._handle(item))
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free.release()
        if not task.cancelled() and (fault := task.exception()):
            self._fault = fault
            self._earlier.set()
