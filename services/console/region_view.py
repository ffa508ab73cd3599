"""The rules that each region holds, and which of its instances have applied them."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import parse_report
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_records import START, Position, Record
from sluiceway.messaging.stream_view import StreamView
from sluiceway.messaging.streams import APPLIED_BITS_PER_SECOND, APPLIED_LIFETIME_SECONDS
from sluiceway.telemetry import metrics

from .held_rules import HeldRules, RulesOfRegion

log = logging.getLogger(__name__)

#: For reading the reports at the start. They are shown, and decide nothing: a page without them is better
#: than none, if an edge writes faster than they are read.
REPORTS_SECONDS = 5.0
#: Instances of a region that are remembered; the scheduler holds the phases of a region with more.
INSTANCES_MAX = 10_000
NO_RULES = RulesOfRegion()


class _Document(msgspec.Struct):
    """The fields of a rule document that are kept in memory."""

    revision: int = 0
    trigger: str | None = None


class RegionInstance(NamedTuple):
    """One subscriber of a region, by its newest report."""

    name: str
    #: The sequence in RULES that it has applied.
    sequence: int
    #: When the broker stored that message; None if an older version reports.
    stored_ms: int | None
    time_ms: int

    def has_applied(self, position: Position) -> bool:
        """Return whether it has applied everything up to a position of RULES, as RULES is now.

        A message with a greater sequence that was stored earlier is of a history that is lost.
        """
        is_of_lost_history = self.stored_ms is not None and self.stored_ms < position.time_ms
        return self.sequence >= position.sequence and not is_of_lost_history


_DECODER = msgspec.json.Decoder(_Document)


class RegionsView(StreamView):
    """Follows RULES and the reports in APPLIED while the block runs."""

    def __init__(self, connection: Connection, features: FeatureView) -> None:
        self._features = features
        self._held: dict[str, RulesOfRegion] = defaultdict(RulesOfRegion)
        #: The newest position in RULES per region, deletions included.
        self._newest: dict[str, Position] = {}
        self._reports: dict[str, dict[str, RegionInstance]] = defaultdict(dict)
        self.follower = Follower(
            connection, subjects.RULES_STREAM, [subjects.RULES], self._handle_rules, on_reset=self._reset
        )
        self._applied = Follower(
            connection,
            subjects.APPLIED_STREAM,
            [subjects.APPLIED],
            self._handle_report,
            on_reset=self._reports.clear,
            bits_per_second=APPLIED_BITS_PER_SECOND,
        )
        #: Called with a region and the features whose rules it received or applied.
        self.on_change: Callable[[str, tuple[FeatureKey, ...]], None] = lambda region, features: None

    async def __aenter__(self) -> "RegionsView":
        await super().__aenter__()
        await self._applied.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._applied.__aexit__(*details)
        await super().__aexit__(*details)

    async def caught_up(self) -> None:
        await super().caught_up()
        try:
            async with asyncio.timeout(REPORTS_SECONDS):
                await self._applied.caught_up()
        except TimeoutError:
            log.warning("the reports of regions cannot be read to their end; showing those that were read")

    def held(self, region: str) -> Mapping[FeatureKey, HeldRules]:
        """Return the rules that a region was sent."""
        return self._held.get(region, NO_RULES)

    def instances(self, region: str, now_ms: int) -> list[RegionInstance]:
        """Return the instances that still report from a region, by name."""
        oldest_ms = now_ms - APPLIED_LIFETIME_SECONDS * 1_000
        reports = self._reports.get(region, {}).values()
        return sorted(instance for instance in reports if instance.time_ms >= oldest_ms)

    def confirmed(self, region: str, key: FeatureKey | None, now_ms: int) -> bool | None:
        """Return whether every instance has applied the newest rules of a feature (None: of all features).

        None if no instance reports from the region.
        """
        held = self.held(region).get(key) if key else None
        position = self._newest.get(region, START) if key is None else held.position if held else START
        instances = self.instances(region, now_ms)
        return all(instance.has_applied(position) for instance in instances) if instances else None

    def _reset(self) -> None:
        self._held.clear()
        self._newest.clear()

    def _handle_rules(self, record: Record) -> None:
        position = Position("", record.sequence, record.time_ms)
        if subjects.is_complete_set(record.subject):
            self._newest[subjects.parse_region(record.subject)] = position
            return
        try:
            region, key = subjects.parse_rule(record.subject)
        except ValueError:  # of no region and feature
            metrics.INVALID_RECORDS.labels(subjects.RULES_STREAM).inc()
            return
        self._newest[region] = position
        if record.is_deletion:
            self._held[region].discard(key)
        else:
            document = _DECODER.decode(record.data)
            self._held[region].set(
                self._shared(key), record.sequence, record.time_ms, document.revision, document.trigger
            )
        if self.follower.is_caught_up:
            self.on_change(region, (key,))

    def _shared(self, key: FeatureKey) -> FeatureKey:
        """Return the one key of a feature that all regions share."""
        entry = self._features.get(key)
        return entry.key if entry else key

    def _handle_report(self, record: Record) -> None:
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
            self.on_change(report.region, tuple(FeatureKey(c.kind, c.name) for c in report.changes))


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
