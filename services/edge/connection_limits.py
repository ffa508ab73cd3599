"""Bounds on request bodies, and on the requests that an edge serves at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager

#: Bytes of a user or context.
CONTEXT_BYTES_MAX = 64 * 1024
#: Bytes of a batch of SDK events, as sent.
EVENTS_BYTES_MAX = 8 * 1024 * 1024
#: Requests that may wait for a change at the same time.
WAITING_MAX = 10_000


class LimitReached(Exception):
    """As many requests as allowed are being served."""


class ConnectionLimit:
    """A bound on the requests that are served at the same time; further ones are refused immediately."""

    def __init__(self, maximum: int) -> None:
        self._free = maximum

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Count as one request while the block runs; raise `LimitReached` if there are too many."""
        if self._free <= 0:
            raise LimitReached
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
