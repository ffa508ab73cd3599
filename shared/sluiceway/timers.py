"""A heap of times: each item is handled when its time comes, many of them at the same time."""

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from .clock import Clock
from .tasks import error_of

T = TypeVar("T")

#: The clock is read at least this often, in case it jumps.
CLOCK_CHECK_SECONDS = 1.0
#: Times without an item that stay in the heap, if there are not as many with one: to remove them takes time.
VOID_MAX = 1_000

#: The number of an item: chance decides between those of the same time, a count tells all apart.
TIE_BITS, COUNT_BITS = 24, 40


def one_by_one(handle: Callable[[T], Awaitable[None]]) -> Callable[[Sequence[T]], Awaitable[None]]:
    """Return what handles several items, each alone."""

    async def handle_all(items: Sequence[T]) -> None:
        for item in items:
            await handle(item)

    return handle_all


def all_together(items: Sequence[T]) -> Iterable[Sequence[T]]:
    """Return items as the one part that they are."""
    return (items,)


class Timers(Generic[T]):
    """Calls `handle` with items at their time or soon after; `workers` bounds the items in work.

    What has waited longest comes first; of the same time, each process has an order of its own, so that
    replicas which race for the same items begin with others. While `may_run` returns false, the items wait.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[T]], Awaitable[None]],
        clock: Clock,
        workers: int,
        may_run: Callable[[], bool] = lambda: True,
        key: Callable[[T], Hashable] | None = None,
        *,
        together: int = 1,
        split: Callable[[Sequence[T]], Iterable[Sequence[T]]] = all_together,
    ) -> None:
        """`key`: of what has one time only, so that an item takes the place of the one before it.

        Up to `together` items that are due are handled by one call. `split` returns them in parts that do not
        wait for each other.
        """
        self._may_run = may_run
        self._handle = handle
        self._clock = clock
        self._key = key
        #: Times and the numbers of items; without its item, a time is void.
        self._heap: list[tuple[int, int]] = []
        self._items: dict[int, T] = {}
        self._number_of: dict[Hashable, int] = {}
        self._numbers = itertools.count()
        self._wake_up = asyncio.Event()
        self._together = together
        self._split = split
        self._places = workers
        self._place_is_free = asyncio.Event()
        self._place_is_free.set()
        #: What is in work, and how many places it takes.
        self._running: dict[asyncio.Task[None], int] = {}
        self._error: BaseException | None = None

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._items)

    def first(self) -> tuple[int, T] | None:
        """Return the item that comes first, after its time; None if none waits."""
        while self._heap and self._heap[0][1] not in self._items:
            heapq.heappop(self._heap)
        if not self._heap:
            return None
        at_ms, number = self._heap[0]
        return at_ms, self._items[number]

    def push(self, at_ms: int, item: T) -> None:
        """Handle an item at this time, in milliseconds since the epoch."""
        number = random.getrandbits(TIE_BITS) << COUNT_BITS | next(self._numbers)
        if self._key:
            key = self._key(item)
            self.discard(key)
            self._number_of[key] = number
        self._items[number] = item
        heapq.heappush(self._heap, (at_ms, number))
        if self._heap[0][1] == number:
            self._wake_up.set()

    def discard(self, key: Hashable) -> None:
        """Forget the item with this key, if one waits."""
        number = self._number_of.pop(key, None)
        if number is None:
            return
        del self._items[number]
        if len(self._heap) > 2 * len(self._items) + VOID_MAX:
            self._heap = [time for time in self._heap if time[1] in self._items]
            heapq.heapify(self._heap)

    async def run(self) -> None:
        """Handle what is due until cancelled.

        Raises what `handle` raised, and an error if it was cancelled: an item must not be lost silently.
        """
        try:
            while True:
                await self._until_due()
                if self._error:
                    raise self._error
                while self._is_due() and not self._error:
                    await self._place_is_free.wait()
                    self._start_due()
                    await asyncio.sleep(0)  # to split items is work, too
        finally:
            for task in self._running:
                task.cancel()

    def _is_due(self) -> bool:
        first = self.first()
        return first is not None and first[0] <= self._clock() and self._may_run()

    async def _until_due(self) -> None:
        self._wake_up.clear()
        wait, first = CLOCK_CHECK_SECONDS, self.first()
        if first and self._may_run():
            wait = min(wait, max(0, first[0] - self._clock()) / 1_000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake_up.wait()

    def _start_due(self) -> None:
        """Start to handle what is due first; while a place was waited for, that may have been forgotten."""
        count = min(self._together, self._places)
        items = [self._take() for _ in range(count) if self._is_due()]
        for part in self._split(items) if items else ():
            task = asyncio.ensure_future(self._handle(part))
            self._running[task] = len(part)
            self._places -= len(part)
            task.add_done_callback(self._on_done)
        if self._places == 0:
            self._place_is_free.clear()

    def _take(self) -> T:
        item = self._items.pop(heapq.heappop(self._heap)[1])
        if self._key:
            del self._number_of[self._key(item)]
        return item

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._places += self._running.pop(task)
        self._place_is_free.set()
        if error := error_of(task):
            self._error = error
            self._wake_up.set()
