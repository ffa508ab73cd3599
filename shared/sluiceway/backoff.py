"""How long to wait before the next attempt."""

import random


class Backoff:
    """The pause doubles after each failure in a row, up to a bound; a success starts it again.

    `jitter` is the part of a pause that is random: 0.5 gives 50 to 100 % of it, so that clients
    that fail at the same time do not retry at the same time.
    """

    def __init__(self, first_seconds: float, max_seconds: float, *, jitter: float = 0.0) -> None:
        self._first = first_seconds
        self._max = max_seconds
        self._jitter = jitter
        self._failures = 0

    def reset(self) -> None:
        """Start again with the first pause, after a success."""
        self._failures = 0

    def next_seconds(self) -> float:
        """Count a failure and return the pause after it."""
        self._failures += 1
        return self.seconds(self._failures)

    def seconds(self, failures: int) -> float:
        """Return the pause after this many failures in a row (1 or more)."""
        exponent = min(failures - 1, 64)  # a larger one overflows
        longest = min(self._first * 2.0**exponent, self._max)
        return longest * random.uniform(1 - self._jitter, 1)  # noqa: S311 (not a secret)
