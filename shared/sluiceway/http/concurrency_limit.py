"""Bounds what is served at the same time, for each caller and in total."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class LimitReached(Exception):
    """As many requests as allowed are being served; the text says of whom."""


class ConcurrencyLimit:
    """A bound on the requests that are served at the same time; further ones are refused immediately."""

    def __init__(self, total: int, per_caller: int) -> None:
        self._total = total
        self._per_caller = min(per_caller, total)
        self._served: Counter[str] = Counter()
        self._served_total = 0

    def check(self, caller: str) -> None:
        """Raise `LimitReached` if another request of a caller would be too many."""
        if self._served[caller] >= self._per_caller:
            raise LimitReached(f"you have {self._per_caller} of them at the same time, as many as allowed")
        if self._served_total >= self._total:
            raise LimitReached(f"there are {self._total} of them at the same time, as many as allowed")

    @contextmanager
    def acquire(self, caller: str) -> Iterator[None]:
        """Count as a request of a caller while the block runs; raise `LimitReached` if there are too many."""
        self.check(caller)
        self._served[caller] += 1
        self._served_total += 1
        try:
            yield
        finally:
            self._served_total -= 1
            self._served[caller] -= 1
            if not self._served[caller]:
                del self._served[caller]
