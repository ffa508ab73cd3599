"""Which instances have not applied what was published for their region, by their reports in APPLIED."""

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.applied_reports import parse_report
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.stream_follower import Follower, Record, StreamView
from sluiceway.messaging.streams import APPLIED_BITS_PER_SECOND, APPLIED_LIFETIME_SECONDS
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.telemetry import metrics

from .published_rules import PublishedRules

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

#: Instances named in a hold.
NAMED_MAX = 3
#: Instances of a region whose reports are remembered. If more report, nobody knows whether all have applied
#: something, so the region holds its phases.
INSTANCES_MAX = 10_000


class ReportedPosition(NamedTuple):
    """How far an instance has applied RULES, and when it reported that."""

    sequence: int
    #: When the broker stored the message there; None if an older version reported.
    stored_ms: int | None
    time_ms: int

    def has_reached(self, rules: PublishedRules) -> bool:
        """Return whether it has applied rules; a position in RULES before it went back does not count."""
        is_lost = self.stored_ms is not None and self.stored_ms < rules.since_ms
        return self.sequence >= rules.sequence and not is_lost


class Confirmations(StreamView):
    """Follows the reports of every instance while the block runs."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._clock = clock
        self._reports: dict[str, dict[str, ReportedPosition]] = {}
        #: When a report of a region was left out, because there were too many.
        self._left_out_ms: dict[str, int] = {}
        self.follower = Follower(
            connection,
            subjects.APPLIED_STREAM,
            [subjects.APPLIED],
            self._store_report,
            on_reset=self._reset,
            bits_per_second=APPLIED_BITS_PER_SECOND,
        )

    def missing(self, published: Iterable[PublishedRules]) -> tuple[str, ...]:
        """Return which instances have not applied these rules, by region, and since when they could.

        A region without reports does not hold the phase: catch up first, or nobody may seem to report.
        """
        return tuple(hold for rules in published if (hold := self._missing_in(rules)))

    def _reset(self) -> None:
        self._reports.clear()
        self._left_out_ms.clear()

    def _missing_in(self, rules: PublishedRules) -> str | None:
        """Return the hold of a region. Each new text is a new event, so it counts nobody."""
        reports = self._alive(rules.region)
        if self._left_out_ms.get(rules.region, 0) >= self._oldest_ms():
            return f"region {rules.region}: more than {INSTANCES_MAX} instances report"
        late = sorted(name for name, report in reports.items() if not report.has_reached(rules))
        if not late:
            return None
        named = ", ".join(late[:NAMED_MAX]) + (" and others" if len(late) > NAMED_MAX else "")
        since = envelope.rfc3339(rules.since_ms)
        return f"region {rules.region}: not applied yet by {named} (since {since})"

    def _oldest_ms(self) -> int:
        """Return since when a report belongs to a living instance."""
        return self._clock() - APPLIED_LIFETIME_SECONDS * 1_000

    def _alive(self, region: str) -> Mapping[str, ReportedPosition]:
        """Return the reports of a region's instances that are recent enough."""
        reports = self._reports.get(region, {})
        oldest_ms = self._oldest_ms()
        for instance in [name for name, report in reports.items() if report.time_ms < oldest_ms]:
            del reports[instance]
        return reports

    def _store_report(self, record: Record) -> None:
        try:
            report = parse_report(record.subject, record.data)
        except ValueError as error:
            metrics.INVALID_RECORDS.labels(subjects.APPLIED_STREAM).inc()
            repeated.warning("report", "%s is not a valid report, ignored: %s", record.subject, error)
            return
        known = self._reports.setdefault(report.region, {})
        if report.instance not in known and len(known) >= INSTANCES_MAX:
            self._left_out_ms[report.region] = record.time_ms
            return
        known[report.instance] = ReportedPosition(report.sequence, report.stored_ms, record.time_ms)
