"""How many streams of one key are sent a large message at the same time.

The gRPC library keeps a copy of a message for each stream until its client has read it, and the memory of all
copies does not go back to the system.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Streams of one key that are sent a message at the same time.
SENT_AT_ONCE = 16
#: A client that takes longer to read a message delays the other streams of its key no further.
SLOT_SECONDS = 1.0


class SendSlots:
    """Slots for the streams of each key. Those of one key never wait for those of another."""

    def __init__(self) -> None:
        self._by_key: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def of(self, key_id: str) -> AsyncIterator[None]:
        """Wait for a slot of a key, and have it while the block runs, but no longer than `SLOT_SECONDS`."""
        slots = self._by_key.setdefault(key_id, asyncio.Semaphore(SENT_AT_ONCE))
        await slots.acquire()
        slot = _Slot(slots)
        ending = asyncio.get_running_loop().call_later(SLOT_SECONDS, slot.release)
        try:
            yield
        finally:
            ending.cancel()
            slot.release()


class _Slot:
    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots: asyncio.Semaphore | None = slots

    def release(self) -> None:
        """Give the slot back, unless that was done already."""
        if self._slots:
            self._slots.release()
        self._slots = None
