"""What the metrics of all services share; each service's own are in `services/<name>/metrics.py`."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from prometheus_client import Counter, Gauge, disable_created_metrics

Series = TypeVar("Series")

#: Series of one metric that are remembered: two for each of 10,000 regions.
SERIES_MAX = 20_000

disable_created_metrics()  # type: ignore[no-untyped-call]

#: Bucket bounds in seconds; each objective lies exactly on one.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

DEAD_LETTERS = Counter(
    "sluiceway_dead_letters_total",
    "Messages that were rejected, by service and code.",
    ("service", "reason"),
)
INVALID_RECORDS = Counter(
    "sluiceway_invalid_records_total",
    "Stored messages that this process has left out because they are invalid, by stream.",
    ("stream",),
)
HISTORY_BREAKS = Counter(
    "sluiceway_history_breaks_total",
    "Times that a stream had gone back or was replaced, so that this process read it from the start.",
    ("stream",),
)
HISTORY_LOST = Gauge(
    "sluiceway_history_lost_messages",
    "By how many messages the stream was behind this process the last time that it went back; 0 if unknown.",
    ("stream",),
)
CLOCK_DIFFERENCE_SECONDS = Gauge(
    "sluiceway_clock_difference_seconds",
    "How far this host's clock is ahead of the broker's; negative if it is behind. Beyond 30 s in either "
    "direction, a scheduler or monitor decides nothing.",
)
WRITES_NOT_STORED = Counter(
    "sluiceway_writes_not_stored_total",
    "Messages that the broker did not store, or not acknowledge, although it answers: its store is full.",
    ("stream",),
)
HTTP_REFUSED = Counter(
    "sluiceway_http_refused_total",
    "Connections that were refused: too many of one address, or in total.",
    ("limit",),
)
HTTP_CLOSED = Counter(
    "sluiceway_http_closed_total",
    "Connections that were closed for what their client did, or did not do in time.",
    ("reason",),
)
AUDIT_RECORDS = Counter(
    "sluiceway_audit_records_total", "Records that were stored in the stream AUDIT, by type.", ("type",)
)
AUDIT_RECORDS_SUPPRESSED = Counter(
    "sluiceway_audit_records_suppressed_total",
    "Audit records left out since their source causes too many; records of the type suppressed count them.",
)
AUDIT_RECORDS_LOST = Counter(
    "sluiceway_audit_records_lost_total",
    "Audit records that were lost: the stream AUDIT stored nothing for too long.",
)
RECONNECTS = Counter("sluiceway_broker_reconnects_total", "Reconnects to the broker.")


def remembered(find_series: Callable[..., Series]) -> Callable[..., Series]:
    """Return `find_series`, such as `labels` of a counter, which remembers the series that it has found.

    To look a series up costs as much as to count in it. Not for series that are removed again.
    """
    return lru_cache(SERIES_MAX)(find_series)


class ReleaseGauge(NamedTuple):
    """A gauge with series for single releases: collected at a scrape, gone with the release."""

    name: str
    documentation: str
    labels: tuple[str, ...]
