"""Who is served next: the senders in turn, however many messages one of them has waiting."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class FairTurns:
    """Lets `at_once` blocks run at the same time, and of each sender at most `of_sender`."""

    def __init__(self, at_once: int, of_sender: int) -> None:
        self._at_once = at_once
        self._of_sender = of_sender
        self._running: Counter[Hashable] = Counter()
        #: The sender that has waited longest for its turn comes first.
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, sender: Hashable) -> AsyncIterator[None]:
        """Wait for the turn of a sender's message, and hold it while the block runs."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(sender, deque()).append(granted)
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._release(sender)
            raise
        try:
            yield
        finally:
            self._release(sender)

    def _release(self, sender: Hashable) -> None:
        self._running[sender] -= 1
        if not self._running[sender]:
            del self._running[sender]
        self._grant()

    def _grant(self) -> None:
        """Give each free place to the next sender that may have one."""
        while self._running.total() < self._at_once:
            sender = next((s for s in self._waiting if self._running[s] < self._of_sender), None)
            if sender is None:
                return
            futures = self._waiting.pop(sender)
            granted = futures.popleft()
            if futures:
                self._waiting[sender] = futures
            if not granted.done():  # else it was cancelled
                self._running[sender] += 1
                granted.set_result(None)
