"""A heap of times: each item is handled when its time comes, many of them at the same time."""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from .clock import Clock

T = TypeVar("T")

#: The clock is read at least this often, in case it jumps.
CLOCK_CHECK_SECONDS = 1.0


class Timers(Generic[T]):
    """Calls `handle` with each item at its time or soon after; `workers` bounds the calls under way.

    While `may_run` returns false, the items wait.
    """

    def __init__(
        self,
        handle: Callable[[T], Awaitable[None]],
        clock: Clock,
        workers: int,
        may_run: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_run = may_run
        self._handle = handle
        self._clock = clock
        self._heap: list[tuple[int, int, T]] = []
        self._order = itertools.count()
        self._wake_up = asyncio.Event()
        self._free = asyncio.Semaphore(workers)
        self._running: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    def push(self, at_ms: int, item: T) -> None:
        """Handle an item at this time, in milliseconds since the epoch."""
        heapq.heappush(self._heap, (at_ms, next(self._order), item))
        if self._heap[0][2] is item:
            self._wake_up.set()

    async def run(self) -> None:
        """Handle what is due until cancelled.

        Raises what `handle` raised: an item must not be lost silently.
        """
        try:
            while True:
                await self._until_due()
                if self._error:
                    raise self._error
                while self._heap and self._heap[0][0] <= self._clock() and self._may_run():
                    await self._free.acquire()
                    self._start(heapq.heappop(self._heap)[2])
        finally:
            for task in self._running:
                task.cancel()

    async def _until_due(self) -> None:
        self._wake_up.clear()
        wait = CLOCK_CHECK_SECONDS
        if self._heap and self._may_run():
            wait = min(wait, max(0, self._heap[0][0] - self._clock()) / 1_000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake_up.wait()

    def _start(self, item: T) -> None:
        task = asyncio.ensure_future(self._handle(item))
        self._running.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free.release()
        if not task.cancelled() and (error := task.exception()):
            self._error = error
            self._wake_up.set()
