"""Who is served next: senders take turns, each within its own limits, whatever the others send."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from cachetools import LRUCache

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Senders remembered. The least recent one is forgotten first, and starts again with a full burst.
SENDERS_MAX = 10_000
#: Bytes that may wait, of all senders together. Beyond that, a sender who has something waiting is refused.
WAITING_BYTES_MAX = 64 * 2**20
#: The same for senders who have nothing waiting: names can be made up where no broker checks them.
WAITING_BYTES_HARD_MAX = 2 * WAITING_BYTES_MAX
#: What an item that waits takes beside its own size.
ITEM_BYTES = 1_000
#: Nothing waits longer for its sender's rate: it is refused, and its sender is told when to try again.
RATE_WAIT_SECONDS = 0.5


class SenderLimits(NamedTuple):
    """What one sender may have at a time."""

    #: Items per second; None: any number.
    per_second: float | None
    #: Items that may come together after a rest.
    burst: int
    #: Items that may wait.
    waiting: int
    #: Items that may be in work.
    working: int


class _Waiting(NamedTuple, Generic[T]):
    item: T
    size: int
    #: When the sender's rate allows it.
    ready_at: float


class _Sender(Generic[T]):
    """What a sender has waiting, and how many of its items are in work."""

    def __init__(self, limits: SenderLimits) -> None:
        self.limits = limits
        self.waiting: deque[_Waiting[T]] = deque()
        self.working = 0
        #: Whether its turn is known: it stands in the row, or a timer will put it there.
        self.has_turn = False
        self._full_at = 0.0

    def reserve(self, now: float) -> float:
        """Return when its rate allows one more item, and count that item; a delay that is too long is not.

        A token bucket in its virtual form (GCRA): all it needs is when the bucket would be full again.
        """
        if self.limits.per_second is None:
            return now
        full_at = max(self._full_at, now) + 1 / self.limits.per_second
        ready_at = max(now, full_at - self.limits.burst / self.limits.per_second)
        if ready_at - now <= RATE_WAIT_SECONDS:
            self._full_at = full_at
        return ready_at


class FairQueue(Generic[T]):
    """Hands items to `work`, one sender after the other; `workers` bounds those in work.

    It does not wait and does not look into an item, so that it costs next to nothing before a turn comes.
    """

    def __init__(
        self,
        work: Callable[[T], Coroutine[Any, Any, None]],
        workers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._free = workers
        self._clock = clock
        self._senders: LRUCache[str, _Sender[T]] = LRUCache(SENDERS_MAX)
        self._turns: deque[_Sender[T]] = deque()
        self._waiting_bytes = 0
        self._tasks: set[asyncio.Future[None]] = set()
        self._is_closed = False

    def put(self, sender: str, limits: SenderLimits, item: T, size: int) -> float | None:
        """Let an item wait for its turn; else return in how many seconds its sender may try again."""
        known = self._senders.get(sender)
        if known is None:
            known = self._senders[sender] = _Sender(limits)
        now, size = self._clock(), size + ITEM_BYTES
        bytes_max = WAITING_BYTES_MAX if known.waiting else WAITING_BYTES_HARD_MAX
        if len(known.waiting) >= limits.waiting or self._waiting_bytes + size > bytes_max:
            return RATE_WAIT_SECONDS
        ready_at = known.reserve(now)
        if ready_at - now > RATE_WAIT_SECONDS:
            return ready_at - now
        known.waiting.append(_Waiting(item, size, ready_at))
        self._waiting_bytes += size
        self._give_turn(known)
        self._start_next()
        return None

    async def close(self, within_seconds: float) -> None:
        """Start nothing any more, and let what is in work end in time."""
        self._is_closed = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within_seconds)
            for task in late:
                task.cancel()

    def _give_turn(self, sender: _Sender[T]) -> None:
        """Let a sender with something to do stand at the end of the row, once its rate allows it."""
        if sender.has_turn or not sender.waiting or sender.working >= sender.limits.working:
            return
        sender.has_turn = True
        delay = sender.waiting[0].ready_at - self._clock()
        if delay <= 0:
            self._turns.append(sender)
        else:
            asyncio.get_running_loop().call_later(delay, self._stand, sender)

    def _stand(self, sender: _Sender[T]) -> None:
        self._turns.append(sender)
        self._start_next()

    def _start_next(self) -> None:
        while self._turns and self._free > 0 and not self._is_closed:
            sender = self._turns.popleft()
            sender.has_turn = False
            waiting = sender.waiting.popleft()
            self._waiting_bytes -= waiting.size
            self._free -= 1
            sender.working += 1
            task = asyncio.create_task(self._work(waiting.item))
            self._tasks.add(task)
            task.add_done_callback(partial(self._on_done, sender))
            self._give_turn(sender)

    def _on_done(self, sender: _Sender[T], task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        if error := task.exception():
            log.error("internal error while handling an item", exc_info=error)
        self._free += 1
        sender.working -= 1
        self._give_turn(sender)
        self._start_next()
