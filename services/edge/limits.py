"""Bounds on request bodies, and on the requests that wait at an edge at the same time."""

from sluiceway.http.concurrency_limit import ConcurrencyLimit

#: Bytes of a user or context.
CONTEXT_BYTES_MAX = 64 * 1024
#: Bytes of a batch of SDK events, as sent.
EVENTS_BYTES_MAX = 8 * 1024 * 1024
#: Events that one batch may count; the SDKs send 2,000.
EVENTS_MAX = 100_000
#: Held polls and event streams at the same time, of all keys.
WAITING_MAX = 10_000
#: After how many seconds a client may try again that has too many of them.
RETRY_AFTER_SECONDS = 5


def waiting_limit(connections_max: int, per_key: int) -> ConcurrencyLimit:
    """Return the bound on held requests: those of one key take at most half of all connections."""
    total = min(WAITING_MAX, connections_max)
    return ConcurrencyLimit(total, min(per_key, total // 2))
