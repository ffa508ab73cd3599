"""Who is served next: the senders in turn, however many messages one of them has waiting."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import NamedTuple


class NoTurn(Exception):
    """A message gets no turn here: too many wait already, or the process stops."""


class _Waiter(NamedTuple):
    """A message that waits; `granted` becomes False if it gets no turn."""

    granted: asyncio.Future[bool]
    size_bytes: int


class FairTurns:
    """Lets `at_once` blocks run at the same time, and of each sender at most `of_sender`.

    At most `waiting_of_sender` messages of each sender wait, and `waiting_bytes_max` of all: the sender with
    the most bytes gives way, and its newest message gets no turn.
    """

    def __init__(
        self, at_once: int, of_sender: int, *, waiting_of_sender: int, waiting_bytes_max: int
    ) -> None:
        self._at_once = at_once
        self._of_sender = of_sender
        self._waiting_of_sender = waiting_of_sender
        self._waiting_bytes_max = waiting_bytes_max
        self._running: Counter[Hashable] = Counter()
        #: The sender that has waited longest for its turn comes first.
        self._waiting: OrderedDict[Hashable, deque[_Waiter]] = OrderedDict()
        self._bytes: Counter[Hashable] = Counter()
        self._is_closed = False
        #: Bytes of all messages that wait.
        self.waiting_bytes = 0

    def waiting(self, sender: Hashable) -> int:
        """Return how many messages of a sender wait."""
        return len(self._waiting.get(sender, ()))

    @asynccontextmanager
    async def turn(self, sender: Hashable, size_bytes: int) -> AsyncIterator[None]:
        """Wait for the turn of a sender's message, and hold it while the block runs.

        `size_bytes`: the memory that the message takes while it waits. Raises `NoTurn` if it gets none.
        """
        waiter = _Waiter(asyncio.get_running_loop().create_future(), size_bytes)
        self._add(sender, waiter)
        self._grant()
        self._refuse_excess(sender)
        await self._granted(sender, waiter)
        try:
            yield
        finally:
            self._release(sender)

    def close(self) -> None:
        """Give nobody a turn any more; what has one keeps it."""
        self._is_closed = True
        for sender in tuple(self._waiting):
            self._refuse_excess(sender)

    async def _granted(self, sender: Hashable, waiter: _Waiter) -> None:
        try:
            has_turn = await asyncio.shield(waiter.granted)
        except asyncio.CancelledError:
            if not waiter.granted.done():
                self._remove(sender, waiter)
            elif waiter.granted.result():
                self._release(sender)
            raise
        if not has_turn:
            raise NoTurn

    def _add(self, sender: Hashable, waiter: _Waiter) -> None:
        self._waiting.setdefault(sender, deque()).append(waiter)
        self._bytes[sender] += waiter.size_bytes
        self.waiting_bytes += waiter.size_bytes

    def _remove(self, sender: Hashable, waiter: _Waiter) -> None:
        waiters = self._waiting[sender]
        waiters.remove(waiter)
        self._bytes[sender] -= waiter.size_bytes
        self.waiting_bytes -= waiter.size_bytes
        if not waiters:
            del self._waiting[sender], self._bytes[sender]

    def _release(self, sender: Hashable) -> None:
        self._running[sender] -= 1
        if not self._running[sender]:
            del self._running[sender]
        self._grant()

    def _grant(self) -> None:
        """Give each free place to the next sender that may have one."""
        while not self._is_closed and self._running.total() < self._at_once:
            sender = next((s for s in self._waiting if self._running[s] < self._of_sender), None)
            if sender is None:
                return
            waiter = self._waiting[sender][0]
            self._remove(sender, waiter)
            if sender in self._waiting:
                self._waiting.move_to_end(sender)
            self._running[sender] += 1
            waiter.granted.set_result(True)

    def _refuse_excess(self, sender: Hashable) -> None:
        """Refuse the newest of a sender that has too many waiting, then of those with the most bytes."""
        while self.waiting(sender) > (0 if self._is_closed else self._waiting_of_sender):
            self._refuse_newest(sender)
        while self.waiting_bytes > self._waiting_bytes_max:
            self._refuse_newest(max(self._bytes, key=self._bytes.__getitem__))

    def _refuse_newest(self, sender: Hashable) -> None:
        waiter = self._waiting[sender][-1]
        self._remove(sender, waiter)
        waiter.granted.set_result(False)
