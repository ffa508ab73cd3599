"""Rule documents in a stream of the bucket RULES, and the marks that say that a region's set is complete."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from ..contracts import envelope, subjects
from ..contracts.identifiers import FeatureKey
from ..contracts.rule_document import REVISION_MAX, CompleteSet, is_valid_epoch
from ..errors import Conflict, MessageTooLarge, Unavailable, error_text
from ..telemetry import metrics
from .connection import Connection
from .publishing import DELETION, ConditionalMessage, StreamPublisher
from .rule_table import PublishedRule, RuleKey, RuleTable, RuleVersion
from .rule_writes import RuleWrite
from .rules_places import place_of
from .rules_streams import STREAMS_MAX, RulesStreams, read_rules_streams
from .stream_follower import Follower
from .stream_history import StreamPlace
from .stream_records import Position, Record
from .stream_view import StreamView

log = logging.getLogger(__name__)

ONE_STREAM = RulesStreams()

#: Of all groups: a publisher that has not noticed yet that their number has changed may still write its own.
CHECKPOINTS = frozenset(map(subjects.checkpoint, range(STREAMS_MAX)))

#: After a conflict, it is looked again after these pauses whether the other writer's message is stored.
UNDER_WAY_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class PublishedMark(NamedTuple):
    """The mark of a region's complete set; its epoch is 0 if it was deleted or is invalid."""

    sequence: int
    epoch: int


NOT_MARKED = PublishedMark(0, 0)


class RuleStore(StreamView):
    """Follows the headers of one stream of RULES while the block runs, and writes documents.

    `on_foreign_write` is called with a key that was written by something other than a publisher,
    `on_other_write` with one that was not written by this process, and `on_foreign_mark` with a region
    whose mark was deleted or overwritten by something else; `on_unread_mark` if `read_marks` has something
    to read; `on_region` with a region once something that was written for it is known; `on_reset` if RULES
    went back, so that nothing is known of it.
    """

    def __init__(self, connection: Connection, group: int = 0, streams: RulesStreams = ONE_STREAM) -> None:
        """`group`: the regions whose rules the stream holds; `streams`: how the rules are spread.

        Nothing is read while they are spread otherwise.
        """
        self._js = connection.js
        self._replies = connection.replies
        self._place = place_of(streams, group)
        self._streams = streams
        self.stream = self._place.stream
        self._publisher = StreamPublisher(connection, self.stream)
        self._published = RuleTable()
        #: Region → its mark, also one that was deleted.
        self._marks: dict[str, PublishedMark] = {}
        #: Regions whose mark an older version has written: its epoch stands in its body only.
        #: Region → when the broker stored the mark.
        self._unread_marks: dict[str, int] = {}
        #: Region → the newest sequence of its keys.
        self.newest: dict[str, int] = {}
        #: The newest sequence of a document.
        self.newest_document = 0
        self._checkpoints: set[str] = set()
        #: The greatest epoch of all documents and marks.
        self.epoch = 0
        self.on_foreign_write: Callable[[RuleKey], None] = lambda key: None
        self.on_other_write: Callable[[RuleKey], None] = lambda key: None
        self.on_foreign_mark: Callable[[str], None] = lambda region: None
        self.on_unread_mark: Callable[[], None] = lambda: None
        self.on_region: Callable[[str], None] = lambda region: None
        self.on_reset: Callable[[], None] = lambda: None
        self.follower = Follower(
            connection,
            self.stream,
            [subjects.RULES],
            self._on_record,
            on_reset=self._reset,
            headers_only=True,
            stored_until=lambda: self.newest_document,
            find=self._find,
        )

    async def _find(self) -> StreamPlace:
        """Return where the rules of the group are, if they are still spread over the same streams."""
        streams = await read_rules_streams(self._replies)
        if streams != self._streams:
            raise NotFoundError(
                description=f"rules are spread over {streams.groups} streams, not over {self._streams.groups}"
            )
        return self._place

    def published(self, key: RuleKey) -> PublishedRule:
        """Return what a key holds, as far as the stream was followed."""
        return self._published.get(key)

    def keys_with_rules(self, region: str | None = None) -> Iterator[RuleKey]:
        """Yield every key that holds rules, or every one of a region."""
        for name in self._published.regions() if region is None else (region,):
            for feature in self._published.with_rules(name):
                yield RuleKey(name, feature)

    def regions_with_rules(self) -> set[str]:
        """Return the regions in which a key holds rules."""
        return {name for name in self._published.regions() if any(self._published.with_rules(name))}

    @property
    def documents(self) -> int:
        """How many keys are known, also those that mark a deletion."""
        return len(self._published)

    @property
    def has_read_own_writes(self) -> bool:
        """Whether every document that was written here was followed, too."""
        return self.newest_document <= self.position.sequence

    @property
    def position(self) -> Position:
        """How far RULES was followed."""
        return self.follower.position

    async def written_after(self, sequence: int) -> set[FeatureKey]:
        """Return the features of which a document was written after a sequence of RULES."""
        features: set[FeatureKey] = set()
        for region in self._published.regions():
            features.update(self._published.written_after(region, sequence))
            await asyncio.sleep(0)
        return features

    async def count_written_until(self, sequence: int) -> int:
        """Return how many of the keys existed already at a sequence of RULES."""
        count = 0
        for region in self._published.regions():
            count += self._published.count_written_until(region, sequence)
            await asyncio.sleep(0)
        return count

    def begin_epoch(self, now_ms: int) -> None:
        """Begin an epoch that is greater than all before it, also than those of a history that was lost.

        Those began before now.
        """
        self.epoch = max(self.epoch + 1, now_ms)

    def differs(self, write: RuleWrite) -> bool:
        """Return whether a write would change something."""
        return not self._published.holds(write.key, write.checksum)

    def is_newer(self, write: RuleWrite) -> bool:
        """Return whether RULES holds a newer version than that of `write`."""
        return not write.version.supersedes(self._published.version(write.key))

    async def write(self, writes: Iterable[RuleWrite]) -> list[RuleWrite]:
        """Do all writes, pipelined; return those in conflict with another writer, once that is followed.

        Raises `Unavailable` if the broker does not acknowledge all, or takes less than was known when a
        document was projected: `message_bytes_max` tells.
        """
        writes = list(writes)
        known = [self._published.sequences(write.key) for write in writes]
        messages = [write.message(*sequences) for write, sequences in zip(writes, known, strict=True)]
        results = await self._publisher.append_all(messages)
        conflicts: list[tuple[RuleWrite, int]] = []
        too_large: list[MessageTooLarge] = []
        for write, (last, first), result in zip(writes, known, results, strict=True):
            if isinstance(result, MessageTooLarge):
                too_large.append(result)
            elif isinstance(result, Conflict):
                conflicts.append((write, last))
            else:
                published = PublishedRule(result, first or result, write.epoch, write.version, write.checksum)
                self._set(write.key, published)
        await self._follow_others([(write.key, last) for write, last in conflicts])
        if too_large:
            raise Unavailable(f"rules have to be projected again: {too_large[0]}")
        return [write for write, _ in conflicts]

    async def _follow_others(self, conflicts: Sequence[tuple[RuleKey, int]]) -> None:
        """Return once other messages than the last known ones of these keys are known.

        A cluster refuses a write while another one to the same key is under way. If what is known was
        removed, nothing follows: then everything is read again.
        """
        pauses = iter(UNDER_WAY_SECONDS)
        while conflicts:
            await self.catch_up()
            conflicts = [(key, last) for key, last in conflicts if self._published.sequence(key) == last]
            for key, last in conflicts[:1]:
                if last and await self._was_removed(key):
                    self.follower.read_again("what RULES held was removed")
                    return
                pause = next(pauses, None)
                if pause is None:
                    raise Unavailable(f"another writer's rules of {key.feature} are not stored yet")
                await asyncio.sleep(pause)

    async def _was_removed(self, key: RuleKey) -> bool:
        """Return whether the stream holds nothing under a key."""
        subject = subjects.rule(*key)

        def is_absent(info: StreamInfo) -> bool:
            return subject not in (info.state.subjects or {})

        return is_absent(await self.follower.settled_info(is_absent, subject))

    @property
    def message_bytes_max(self) -> int:
        """The bytes of a message, headers included, that the broker takes."""
        return self._publisher.message_bytes_max

    async def lacks_messages(self) -> bool:
        """Return whether messages that were read were removed from RULES, by a purge or a deletion."""
        known = len(self._published) + len(self._marks) + len(self._checkpoints)

        def lacks(info: StreamInfo) -> bool:
            return info.state.messages < known

        return lacks(await self.follower.settled_info(lacks))

    def is_marked(self, region: str) -> bool:
        """Return whether the set of a region is marked as complete in this epoch."""
        return self._marks.get(region, NOT_MARKED).epoch == self.epoch

    async def mark_complete(self, regions: Iterable[str], log_sequence: int) -> None:
        """Mark the sets of these regions as complete, as of a sequence of FEATURES.

        A mark that another replica writes in the meantime stays: `is_marked` tells once it is followed.
        """
        marks = [
            CompleteSet(region=region, epoch=self.epoch, log_sequence=log_sequence) for region in regions
        ]
        headers = {envelope.EPOCH: str(self.epoch)}
        await self._write_marks({mark.region: mark.to_json() for mark in marks}, headers)

    async def catch_up(self) -> None:
        await super().catch_up()
        await self.read_marks()

    async def read_marks(self) -> None:
        """Read the epochs of the marks of an older version, which stand in their bodies only."""
        for region, stored_ms in tuple(self._unread_marks.items()):
            known = self._marks[region]
            epoch = await self._read_epoch(region, known.sequence, stored_ms)
            if self._marks.get(region) == known:  # otherwise a newer mark has come meanwhile
                self._set_mark(region, PublishedMark(known.sequence, epoch))
                if epoch == 0:
                    self.on_foreign_mark(region)

    async def _read_epoch(self, region: str, sequence: int, stored_ms: int) -> int:
        try:
            message = await self._js.get_msg(self.stream, seq=sequence, direct=True)
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot read the mark of the region {region}: {error_text(error)}") from error
        try:
            epoch = CompleteSet.model_validate_json(message.data or b"", extra="ignore").epoch
            return _checked_epoch(epoch, stored_ms)
        except ValueError as error:
            metrics.INVALID_RECORDS.labels(self.stream).inc()
            log.warning("the mark of the region %s is invalid: %s", region, error)
            return 0

    async def delete_mark(self, region: str) -> None:
        """Delete the mark of a region that was deleted."""
        await self._write_marks({region: b""}, DELETION)

    async def _write_marks(self, marks: dict[str, bytes], headers: dict[str, str]) -> None:
        messages = [
            ConditionalMessage(
                subjects.complete_set(region), data, headers, self._marks.get(region, NOT_MARKED).sequence
            )
            for region, data in marks.items()
        ]
        await self._publisher.append_all(messages)
        await self.catch_up()

    def _reset(self) -> None:
        self._published.clear()
        self._marks.clear()
        self._unread_marks.clear()
        self.newest.clear()
        self.newest_document = 0
        self._checkpoints.clear()
        self.on_reset()

    def _set(self, key: RuleKey, published: PublishedRule) -> None:
        if published.sequence > self._published.sequence(key):
            self._published.set(key, published)
        self.epoch = max(self.epoch, published.epoch)
        self.newest_document = max(self.newest_document, published.sequence)
        self._set_newest(key.region, published.sequence)

    def _set_newest(self, region: str, sequence: int) -> None:
        known = self.newest.get(region, 0)
        if sequence > known:
            self.newest[region] = sequence
        if not known:
            self.on_region(region)

    def _on_record(self, record: Record) -> None:
        if record.subject in CHECKPOINTS:
            self._checkpoints.add(record.subject)
            return
        if subjects.is_complete_set(record.subject):
            self._on_mark(record)
            return
        try:
            key = RuleKey(*subjects.parse_rule(record.subject))
        except ValueError:
            metrics.INVALID_RECORDS.labels(self.stream).inc()
            log.warning("ignoring a message on %s: its subject names no region and feature", record.subject)
            return
        headers = record.headers
        if record.sequence <= self._published.sequence(key):
            return  # it is our own, or older than our own
        self.on_other_write(key)
        try:
            version = RuleVersion(
                _revision(headers[envelope.REVISION]), _revision(headers[envelope.REGION_REVISION])
            )
            epoch = _checked_epoch(int(headers.get(envelope.EPOCH, 0)), record.time_ms)
            checksum = headers[envelope.CHECKSUM]
            first = min(int(headers.get(envelope.FIRST, record.sequence)), record.sequence)
            self._set(key, PublishedRule(record.sequence, first, epoch, version, checksum))
        except (KeyError, ValueError):
            metrics.INVALID_RECORDS.labels(self.stream).inc()
            self._set(key, PublishedRule(record.sequence, record.sequence, 0, RuleVersion(0, 0), "foreign"))
            self.on_foreign_write(key)

    def _on_mark(self, record: Record) -> None:
        region, epoch = subjects.parse_region(record.subject), _epoch_of_mark(record, self.stream)
        self._set_mark(region, PublishedMark(record.sequence, epoch or 0))
        if epoch is None:
            self._unread_marks[region] = record.time_ms
            self.on_unread_mark()
        elif epoch == 0:
            self.on_foreign_mark(region)

    def _set_mark(self, region: str, mark: PublishedMark) -> None:
        self._marks[region] = mark
        self._unread_marks.pop(region, None)
        self.epoch = max(self.epoch, mark.epoch)
        self._set_newest(region, mark.sequence)


def _epoch_of_mark(record: Record, stream: str) -> int | None:
    """Return the epoch of a mark, 0 if it is deleted or invalid, or None if its headers do not say it."""
    if record.is_deletion:
        return 0
    try:
        epoch = int(record.headers[envelope.EPOCH])
    except (KeyError, ValueError):
        return None
    try:
        return _checked_epoch(epoch, record.time_ms)
    except ValueError as error:
        metrics.INVALID_RECORDS.labels(stream).inc()
        log.warning("%s: the mark is invalid: %s", record.subject, error)
        return 0


def _checked_epoch(epoch: int, stored_ms: int) -> int:
    """Return an epoch that a publisher can have begun; else raise `ValueError`."""
    if not is_valid_epoch(epoch, stored_ms):
        raise ValueError(f"invalid epoch {epoch}: no publisher can have begun it")
    return epoch


def _revision(text: str) -> int:
    """Return the sequence in a header; raise `ValueError` if no stream of ours can have it."""
    revision = int(text)
    if not 0 <= revision <= REVISION_MAX:
        raise ValueError(f"invalid revision {revision}: no stream has it")
    return revision
