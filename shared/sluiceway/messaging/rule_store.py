"""Rule documents in the bucket RULES: a newer one is never overwritten."""

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

#: The checksum of a feature that has no rules in a region.
NOTHING = "-"


class RuleVersion(NamedTuple):
    """What a document comes from: the event in FEATURES, and the region's document in CATALOG."""

    revision: int
    region_revision: int

    def supersedes(self, other: "RuleVersion") -> bool:
        """Return whether neither part is older than that of `other`."""
        return self.revision >= other.revision and self.region_revision >= other.region_revision


class RuleKey(NamedTuple):
    """A key in RULES."""

    region: str
    feature: FeatureKey


class PublishedRule(NamedTuple):
    """What RULES holds for a key."""

    sequence: int
    version: RuleVersion
    checksum: str


class RuleWrite(NamedTuple):
    """A document to write; if `data` is None, the key's rules are deleted."""

    key: RuleKey
    version: RuleVersion
    checksum: str
    event_time_ms: int
    data: bytes | None


#: The content of a key that was never written.
NOT_PUBLISHED = PublishedRule(0, RuleVersion(0, 0), NOTHING)


class RuleStore(StreamView):
    """Follows the headers of RULES while the block runs, and writes newer documents.

    `on_foreign_write` is called with a key that was written by something other than a publisher; `on_newest`
    with a region and the newest sequence that was written for it.
    """

    def __init__(self, connection: Connection) -> None:
        self._publisher = StreamPublisher(connection, subjects.RULES_STREAM)
        self._published: dict[RuleKey, PublishedRule] = {}
        #: Region → the newest sequence of its keys.
        self._newest: dict[str, int] = {}
        self.on_foreign_write: Callable[[RuleKey], None] = lambda key: None
        self.on_newest: Callable[[str, int], None] = lambda region, sequence: None
        self.follower = Follower(
            connection,
            subjects.RULES_STREAM,
            [subjects.RULES],
            self._on_record,
            on_reset=self._reset,
        )

    def published(self, key: RuleKey) -> PublishedRule:
        """Return what a key holds, as far as the stream was followed."""
        return self._published.get(key, NOT_PUBLISHED)

    def keys_with_rules(self, region: str) -> list[RuleKey]:
        """Return the keys of a region that hold rules."""
        return [
            key
            for key, published in self._published.items()
            if key.region == region and published.checksum != NOTHING
        ]

    def is_needed(self, write: RuleWrite) -> bool:
        """Return whether a write would change something, and nothing newer is published."""
        published = self.published(write.key)
        return write.checksum != published.checksum and write.version.supersedes(published.version)

    async def write(self, writes: Iterable[RuleWrite]) -> list[RuleWrite]:
        """Do all writes that are needed, pipelined; return those in conflict with another writer.

        Raises `Unavailable` if the broker does not acknowledge all.
        """
        needed = [write for write in writes if self.is_needed(write)]
        results = await self._publisher.append_all([self._message(write) for write in needed])
        conflicts = []
        for write, result in zip(needed, results, strict=True):
            if isinstance(result, Conflict):
                conflicts.append(write)
            else:
                self._set(write.key, PublishedRule(result, write.version, write.checksum))
        return conflicts

    def _message(self, write: RuleWrite) -> ConditionalMessage:
        headers = {
            envelope.REVISION: str(write.version.revision),
            envelope.REGION_REVISION: str(write.version.region_revision),
            envelope.CHECKSUM: write.checksum,
            envelope.EVENT_TIME: str(write.event_time_ms),
            **(DELETION if write.data is None else {}),
        }
        expected = self.published(write.key).sequence
        return ConditionalMessage(subjects.rule(*write.key), write.data or b"", headers, expected)

    def _reset(self) -> None:
        self._published.clear()
        self._newest.clear()

    def _set(self, key: RuleKey, published: PublishedRule) -> None:
        if published.sequence > self.published(key).sequence:
            self._published[key] = published
        if published.sequence > self._newest.get(key.region, 0):
            self._newest[key.region] = published.sequence
            self.on_newest(key.region, published.sequence)

    def _on_record(self, record: Record) -> None:
        try:
            key = RuleKey(*subjects.parse_rule(record.subject))
        except ValueError:
            log.warning("ignoring a message on %s: its subject names no region and feature", record.subject)
            return
        headers = record.headers
        try:
            version = RuleVersion(int(headers[envelope.REVISION]), int(headers[envelope.REGION_REVISION]))
            checksum = headers[envelope.CHECKSUM]
        except (KeyError, ValueError):
            self._set(key, PublishedRule(record.sequence, RuleVersion(0, 0), "foreign"))
            self.on_foreign_write(key)
            return
        self._set(key, PublishedRule(record.sequence, version, checksum))
