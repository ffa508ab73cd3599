"""Which instances have not applied what was published for their region, by their reports in APPLIED."""

from collections.abc import Iterable, Mapping, Sequence

from sluiceway.clock import Clock
from sluiceway.contracts import envelope
from sluiceway.messaging.streams import APPLIED_LIFETIME_SECONDS

from .published_rules import PublishedRules
from .region_reports import (
    INSTANCES_MAX,
    ReportedPosition,
    Reports,
    ReportsSource,
    TooManyInstances,
    Unreadable,
)

#: Instances named in a hold.
NAMED_MAX = 3


class Confirmations:
    """Compares what regions report with what was published for them."""

    def __init__(self, reports: ReportsSource, clock: Clock) -> None:
        self._reports = reports
        self._clock = clock

    async def missing(self, phases: Sequence[Sequence[PublishedRules]]) -> list[tuple[str, ...]]:
        """Return which instances have not applied these rules of each phase, and since when they could.

        Only these regions are read. One whose reports cannot be read holds the phase, one without reports
        does not.
        """
        regions = list(dict.fromkeys(rules.region for published in phases for rules in published))
        if not regions:
            return [()] * len(phases)
        if reason := await self._reports.incomplete(self._clock()):
            return [(reason,) if published else () for published in phases]
        reports = dict(zip(regions, await self._reports.of_regions(regions), strict=True))
        return [
            tuple(hold for rules in published if (hold := self._missing_in(rules, reports[rules.region])))
            for published in phases
        ]

    def _missing_in(self, rules: PublishedRules, reports: Reports) -> str | None:
        """Return the hold of a region. Each new text is a new event, so it counts nobody."""
        if isinstance(reports, TooManyInstances):
            return f"region {rules.region}: more than {INSTANCES_MAX} instances report"
        if isinstance(reports, Unreadable):
            return f"region {rules.region}: its reports cannot be read to their end"
        late = sorted(name for name, report in self._alive(reports) if not has_reached(report, rules))
        if not late:
            return None
        named = ", ".join(late[:NAMED_MAX]) + (" and others" if len(late) > NAMED_MAX else "")
        since = envelope.rfc3339(rules.since_ms)
        return f"region {rules.region}: not applied yet by {named} (since {since})"

    def _alive(self, reports: Mapping[str, ReportedPosition]) -> Iterable[tuple[str, ReportedPosition]]:
        """Return the reports that are recent enough: a broker removes older ones a moment later."""
        oldest_ms = self._clock() - APPLIED_LIFETIME_SECONDS * 1_000
        return ((name, report) for name, report in reports.items() if report.time_ms >= oldest_ms)


def has_reached(report: ReportedPosition, rules: PublishedRules) -> bool:
    """Return whether an instance has applied rules; a position before RULES went back does not count."""
    is_lost = report.stored_ms is not None and report.stored_ms < rules.since_ms
    return report.sequence >= rules.sequence and not is_lost
