"""Rule documents in the bucket RULES: never over a newer one."""

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..contracts import envelope, subjects
from ..contracts.identifiers import FeatureKey
from ..errors import Conflict
from .connection import Connection
from .publishing import DELETION, ConditionalMessage, StreamPublisher
from .stream_follower import Follower, Record, StreamView

log = logging.getLogger(__name__)

#: Stands in place of a digest where the region holds no rules of the feature.
NOTHING = "-"


class RuleVersion(NamedTuple):
    """Where a document came from: the event in FEATURES, and the region's document in CATALOG."""

    revision: int
    region_revision: int

    def supersedes(self, other: "RuleVersion") -> bool:
        """Whether neither part is older, so that nothing known there is unknown here."""
        return self.revision >= other.revision and self.region_revision >= other.region_revision


class RuleKey(NamedTuple):
    """A key in RULES."""

    region: str
    key: FeatureKey


class PublishedRule(NamedTuple):
    """What RULES holds at a place."""

    sequence: int
    version: RuleVersion
    checksum: str


class RuleWrite(NamedTuple):
    """A document to be written, or nothing (`data` is None): the place's rules are taken away."""

    place: RuleKey
    version: RuleVersion
    checksum: str
    event_time_ms: int
    data: bytes | None


#: What stands at a place that was never written.
NOT_PUBLISHED = PublishedRule(0, RuleVersion(0, 0), NOTHING)


class RuleStore(StreamView):
    """Follows RULES by its headers alone while the block runs, and writes what is newer.

    `on_foreign` is called for a place that somebody else than a publisher wrote to; `on_newest` with a
    region and the newest sequence that was written there.
    """

    def __init__(self, connection: Connection) -> None:
        self._publisher = StreamPublisher(connection, subjects.RULES_STREAM)
        self._held: dict[RuleKey, PublishedRule] = {}
        #: Region → the newest sequence at one of its places.
        self._newest: dict[str, int] = {}
        self.on_foreign: Callable[[RuleKey], None] = lambda place: None
        self.on_newest: Callable[[str, int], None] = lambda region, sequence: None
        self.follower = Follower(
            connection,
            subjects.RULES_STREAM,
            [subjects.RULES],
            self._on_record,
            on_reset=self._reset,
        )

    def held(self, place: RuleKey) -> PublishedRule:
        """Return what stands at a place now, as far as it was heard."""
        return self._held.get(place, NOT_PUBLISHED)

    def places_in(self, region: str) -> list[RuleKey]:
        """Return the places of a region that hold rules."""
        return [
            place for place, held in self._held.items() if place.region == region and held.checksum != NOTHING
        ]

    def is_due(self, write: RuleWrite) -> bool:
        """Say whether a write would change something and is not overtaken."""
        held = self.held(write.place)
        return write.checksum != held.checksum and write.version.supersedes(held.version)

    async def write(self, writes: Iterable[RuleWrite]) -> list[RuleWrite]:
        """Write all that is due, pipelined; return those that another writer came before.

        Raises `Unavailable` if the broker does not acknowledge all.
        """
        due = [write for write in writes if self.is_due(write)]
        results = await self._publisher.append_all([self._message(write) for write in due])
        overtaken = []
        for write, result in zip(due, results, strict=True):
            if isinstance(result, Conflict):
                overtaken.append(write)
            else:
                self._note(write.place, PublishedRule(result, write.version, write.checksum))
        return overtaken

    def _message(self, write: RuleWrite) -> ConditionalMessage:
        headers = {
            envelope.REVISION: str(write.version.revision),
            envelope.REGION_REVISION: str(write.version.region_revision),
            envelope.CHECKSUM: write.checksum,
            envelope.EVENT_TIME: str(write.event_time_ms),
            **(DELETION if write.data is None else {}),
        }
        expected = self.held(write.place).sequence
        return ConditionalMessage(subjects.rule(*write.place), write.data or b"", headers, expected)

    def _reset(self) -> None:
        self._held.clear()
        self._newest.clear()

    def _note(self, place: RuleKey, held: PublishedRule) -> None:
        if held.sequence > self.held(place).sequence:
            self._held[place] = held
        if held.sequence > self._newest.get(place.region, 0):
            self._newest[place.region] = held.sequence
            self.on_newest(place.region, held.sequence)

    def _on_record(self, record: Record) -> None:
        try:
            place = RuleKey(*subjects.parse_rule(record.subject))
        except ValueError:
            log.warning("%s is no place for rules", record.subject)
            return
        headers = record.headers
        try:
            version = RuleVersion(int(headers[envelope.REVISION]), int(headers[envelope.REGION_REVISION]))
            checksum = headers[envelope.CHECKSUM]
        except (KeyError, ValueError):
            self._note(place, PublishedRule(record.sequence, RuleVersion(0, 0), "foreign"))
            self.on_foreign(place)
            return
        self._note(place, PublishedRule(record.sequence, version, checksum))
