"""What one caller may take of an edge, so that there is enough for the others."""

from collections.abc import Iterator
from contextlib import contextmanager

#: Bytes of a user or context.
CONTEXT_BYTES_MAX = 64 * 1024
#: Bytes of a batch of SDK events, as sent.
EVENTS_BYTES_MAX = 8 * 1024 * 1024
#: Requests that may wait for a change at a time.
WAITING_MAX = 10_000


class LimitReached(Exception):
    """As many requests as allowed are being served."""


class ConnectionLimit:
    """A number of places; who finds none is sent away at once."""

    def __init__(self, places: int) -> None:
        self._free = places

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for the block; `LimitReached` where none is free."""
        if self._free <= 0:
            raise LimitReached
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
