"""Bounds what is served at the same time, for each caller and in total."""

from contextlib import AbstractContextManager


class LimitReached(Exception):
    """As many requests as allowed are being served; the text says of whom."""


class ConcurrencyLimit:
    """A bound on the requests that are served at the same time; further ones are refused immediately."""

    def __init__(self, total: int, per_caller: int) -> None:
        self._total = total
        self._per_caller = min(per_caller, total)
        self._served: dict[str, int] = {}
        self._served_total = 0

    def check(self, caller: str) -> None:
        """Raise `LimitReached` if another request of a caller would be too many."""
        if self._served.get(caller, 0) >= self._per_caller:
            raise LimitReached(f"you have {self._per_caller} of them at the same time, as many as allowed")
        if self._served_total >= self._total:
            raise LimitReached(f"there are {self._total} of them at the same time, as many as allowed")

    def acquire(self, caller: str) -> AbstractContextManager[None]:
        """Count as a request of a caller while the block runs; raise `LimitReached` if there are too many."""
        return _Place(self, caller)

    def enter(self, caller: str) -> None:
        """Count another request of a caller; raise `LimitReached` if there are too many."""
        self.check(caller)
        self._served[caller] = self._served.get(caller, 0) + 1
        self._served_total += 1

    def leave(self, caller: str) -> None:
        """Count a request no longer."""
        self._served_total -= 1
        served = self._served.pop(caller) - 1
        if served:
            self._served[caller] = served


class _Place(AbstractContextManager[None]):
    """A request while it is served. A class, since each request has one: a generator is three objects."""

    __slots__ = ("_caller", "_limit")

    def __init__(self, limit: ConcurrencyLimit, caller: str) -> None:
        self._limit = limit
        self._caller = caller

    def __enter__(self) -> None:
        self._limit.enter(self._caller)

    def __exit__(self, *details: object) -> None:
        self._limit.leave(self._caller)
