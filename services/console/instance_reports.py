"""The newest report of each instance of a region, which says how far it has applied its rules."""

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import parse_report
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_records import Position, Record
from sluiceway.messaging.stream_view import StreamView
from sluiceway.messaging.streams import APPLIED_BITS_PER_SECOND, APPLIED_LIFETIME_SECONDS
from sluiceway.telemetry import metrics

#: Instances of a region that are remembered; the scheduler holds the phases of a region with more.
INSTANCES_MAX = 10_000


class RegionInstance(NamedTuple):
    """One subscriber of a region, by its newest report."""

    name: str
    #: The sequence that it has applied, in the stream that holds the rules of its region.
    sequence: int
    #: When the broker stored that message; None if an older version reports.
    stored_ms: int | None
    time_ms: int

    def has_applied(self, position: Position) -> bool:
        """Return whether it has applied everything up to a position, as its stream is now.

        A message with a greater sequence that was stored earlier is of a history that is lost.
        """
        is_of_lost_history = self.stored_ms is not None and self.stored_ms < position.time_ms
        return self.sequence >= position.sequence and not is_of_lost_history


class InstanceReports(StreamView):
    """Follows APPLIED while the block runs.

    `on_change` is called with a region and the features whose rules it has applied.
    """

    def __init__(
        self, connection: Connection, on_change: Callable[[str, tuple[FeatureKey, ...]], None]
    ) -> None:
        self._on_change = on_change
        self._reports: dict[str, dict[str, RegionInstance]] = defaultdict(dict)
        self.follower = Follower(
            connection,
            subjects.APPLIED_STREAM,
            [subjects.APPLIED],
            self._handle,
            on_reset=self._reports.clear,
            bits_per_second=APPLIED_BITS_PER_SECOND,
        )

    def instances(self, region: str, now_ms: int) -> list[RegionInstance]:
        """Return the instances that still report from a region, by name."""
        oldest_ms = now_ms - APPLIED_LIFETIME_SECONDS * 1_000
        reports = self._reports.get(region, {}).values()
        return sorted(instance for instance in reports if instance.time_ms >= oldest_ms)

    def _handle(self, record: Record) -> None:
        try:
            report = parse_report(record.subject, record.data)
        except ValueError:  # of no instance; the other reports of the region count
            metrics.INVALID_RECORDS.labels(subjects.APPLIED_STREAM).inc()
            return
        reports = self._reports[report.region]
        known = reports.pop(report.instance, None)
        if known is None and not _has_place(reports, record.time_ms):
            return
        reports[report.instance] = RegionInstance(
            report.instance, report.sequence, report.stored_ms, report.time_ms
        )
        if known is None or known.sequence != report.sequence:
            self._on_change(report.region, tuple(FeatureKey(c.kind, c.name) for c in report.changes))


def _has_place(reports: dict[str, RegionInstance], now_ms: int) -> bool:
    """Return whether another instance may be remembered; those that are gone leave their places.

    `reports`: the instance that was silent for longest first.
    """
    oldest_ms = now_ms - APPLIED_LIFETIME_SECONDS * 1_000
    while len(reports) >= INSTANCES_MAX:
        silent = next(iter(reports.values()))
        if silent.time_ms >= oldest_ms:
            return False
        del reports[silent.name]
    return True
