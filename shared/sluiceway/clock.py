"""The clock: the only place that reads the time of this host."""

import time
from collections.abc import Callable

#: Returns milliseconds since the epoch.
Clock = Callable[[], int]


def now_ms() -> int:
    """Return the time of this host, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
