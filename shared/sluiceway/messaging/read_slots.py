"""How much of the streams one connection asks for at the same time.

A broker cuts off a connection for which more than its `max_pending` (64 MiB by default) is waiting.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from nats.aio.client import Client

from ..errors import Unavailable

#: How long a reader waits for those before it.
WAIT_SECONDS = 10.0


class ReadSlots:
    """Lets so many reads of each connection happen at the same time; the others wait in order."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._slots: WeakKeyDictionary[Client, asyncio.Semaphore] = WeakKeyDictionary()

    @asynccontextmanager
    async def of(self, client: Client) -> AsyncIterator[None]:
        """Hold a slot of a connection while the block runs; `Unavailable` if none is free in time."""
        slots = self._slots.setdefault(client, asyncio.Semaphore(self._count))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await slots.acquire()
        except TimeoutError:
            raise Unavailable("too many others read the streams at the same time") from None
        try:
            yield
        finally:
            slots.release()


#: Of histories, each with up to `history.BATCH_BYTES`.
PULLS = ReadSlots(2)
#: Of single messages, each with up to the broker's `max_payload`.
SINGLE_MESSAGES = ReadSlots(8)
