"""Whether the regions of a phase have applied what was released to them, by their reports in APPLIED."""

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import feature_of
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.stream_follower import Follower, Record, StreamView
from sluiceway.messaging.streams import APPLIED_LIFETIME_SECONDS
from sluiceway.pipelines.segments import Extent, Location, coverage

log = logging.getLogger(__name__)

#: Regions checked at the same time.
CONCURRENCY_MAX = 50
#: Instances named in a hold; the others are counted.
NAMED_MAX = 3


class ReportedPosition(NamedTuple):
    """How far an instance has applied RULES, and when it reported that."""

    sequence: int
    time_ms: int


class Confirmations(StreamView):
    """Follows the reports of every instance while the block runs."""

    def __init__(self, connection: Connection, catalogue: CatalogueView, clock: Clock) -> None:
        self._js = connection.js
        self._catalogue = catalogue
        self._clock = clock
        self._reports: dict[str, dict[str, ReportedPosition]] = {}
        self.follower = Follower(
            connection,
            subjects.APPLIED_STREAM,
            [subjects.APPLIED],
            self._store_report,
            on_reset=self._reports.clear,
        )

    async def missing(self, trigger: Trigger) -> tuple[str, ...]:
        """Return which regions of the current phase have not confirmed it, and which instances are late.

        A region without reports does not hold the phase.
        """
        regions = [region for region in self._regions(trigger) if self._alive(region.name)]
        holds: list[str] = []
        for start in range(0, len(regions), CONCURRENCY_MAX):
            some = regions[start : start + CONCURRENCY_MAX]
            found = await asyncio.gather(*(self._missing_in(region.name, trigger) for region in some))
            holds += [hold for hold in found if hold]
        return tuple(holds)

    def _regions(self, trigger: Trigger) -> list[Region]:
        """Return the regions that the current phase covers."""
        phase = (trigger.current_run.phase,)
        documents = [stored.document for stored in self._catalogue.all("region")]
        regions = [document for document in documents if isinstance(document, Region)]
        return [r for r in regions if coverage(phase, Location.of(r)).extent is not Extent.NONE]

    async def _missing_in(self, region: str, trigger: Trigger) -> str | None:
        sequence = await self._published(region, trigger)
        if sequence is None:
            return f"region {region}: the rules are not published yet"
        late = sorted(name for name, report in self._alive(region).items() if report.sequence < sequence)
        if not late:
            return None
        more = f" and {len(late) - NAMED_MAX} more" if len(late) > NAMED_MAX else ""
        return f"region {region}: not applied yet by {', '.join(late[:NAMED_MAX])}{more}"

    async def _published(self, region: str, trigger: Trigger) -> int | None:
        """Return the sequence of the candidate in RULES for a region; None if it is not there."""
        place = subjects.rule(region, feature_of(trigger.id))
        try:
            message = await self._js.get_last_msg(subjects.RULES_STREAM, place, direct=True)
            document = RuleDocument.model_validate_json(message.data or b"", extra="ignore")
        except (NotFoundError, ValidationError):
            return None
        except (NatsError, TimeoutError) as error:
            log.warning("cannot read %s now: %s", place, error or type(error).__name__)
            return None
        return message.seq if document.trigger == trigger.id else None

    def _alive(self, region: str) -> Mapping[str, ReportedPosition]:
        """Return the reports of a region's instances that are recent enough."""
        reports = self._reports.get(region, {})
        oldest_ms = self._clock() - APPLIED_LIFETIME_SECONDS * 1_000
        for instance in [name for name, report in reports.items() if report.time_ms < oldest_ms]:
            del reports[instance]
        return reports

    def _store_report(self, record: Record) -> None:
        try:
            report = AppliedReport.model_validate_json(record.data, extra="ignore")
        except ValidationError as error:
            log.warning("%s is not a valid report, ignored: %s", record.subject, error)
            return
        known = self._reports.setdefault(report.region, {})
        known[report.instance] = ReportedPosition(report.sequence, record.time_ms)
