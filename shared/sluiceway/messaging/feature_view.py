"""The newest event of every feature, in memory, by following the log. Bodies are parsed when needed."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from cachetools import LRUCache

from ..backoff import Backoff
from ..contracts import envelope, subjects
from ..contracts.events import FeatureEvent
from ..contracts.identifiers import FeatureKey
from ..errors import Rejected, Unavailable
from ..repeated_logs import RepeatedLogs
from ..tasks import cancel_and_wait
from .connection import Connection
from .feature_entry import FeatureEntry
from .feature_indexes import FeatureIndex
from .feature_log import TYPE_PREFIX, EncodedEvent, FeatureLog, LoggedEvent, headers_of, parse_event
from .parsed_events import ParsedEvents
from .stream_follower import RETRY_FIRST_SECONDS, RETRY_JITTER, RETRY_MAX_SECONDS, Follower
from .stream_records import Position, Record
from .stream_view import CATCH_UP_SECONDS, StreamView

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

__all__ = ["FeatureEntry", "FeatureView"]

Index = TypeVar("Index", bound=FeatureIndex)
#: Events that were read from the log before they are followed: as many as commands are decided again.
READ_AHEAD_MAX = 64
#: Bytes of one of them; a larger one is parsed again when it is followed.
READ_AHEAD_BYTES_MAX = 16 * 1024
#: The headers that an archived feature has, to which nothing refers.
NO_EVENT = {envelope.ARCHIVED: "true"}


class FeatureView(StreamView):
    """Follows FEATURES while the block runs.

    `on_change` is called with each new entry; `on_invalid` with the subject and data of a message that
    is not a valid event, and the reason; `on_reset` if the log went back, so that all entries are void.
    """

    def __init__(
        self,
        connection: Connection,
        feature_log: FeatureLog,
    ) -> None:
        self._entries: dict[FeatureKey, FeatureEntry] = {}
        self._indexes: list[FeatureIndex] = []
        self._parsed = ParsedEvents()
        self._parsed.on_invalid = self._replace_soon
        #: What this process is appending, by its bytes: as many as commands are in work.
        self._appending: dict[bytes, FeatureEvent] = {}
        #: What was parsed by `parse` and not followed yet, by its bytes.
        self._read_ahead: LRUCache[bytes, FeatureEvent] = LRUCache(READ_AHEAD_MAX)
        #: What this process has appended and not read yet: sequence → `ce-id`; as many again.
        self._appended: dict[int, str] = {}
        self._log = feature_log
        self.on_change: Callable[[FeatureEntry], None] = lambda entry: None
        self.on_invalid: Callable[[str, bytes, str], None] = lambda subject, data, reason: None
        self.on_reset: Callable[[], None] = lambda: None
        #: Features whose event has to be read from the log, since an invalid message is the newest one: and
        #: its sequence. Those of which only the body is invalid have an entry until then.
        self._without_event: dict[FeatureKey, int] = {}
        self._reading: asyncio.Task[None] | None = None
        #: What indexes have of features none of whose messages is a valid event.
        self._no_event: dict[FeatureKey, FeatureEntry] = {}
        self.follower = Follower(
            connection,
            subjects.FEATURES_STREAM,
            [subjects.FEATURES],
            self._on_record,
            on_reset=self._reset,
            on_caught_up=self._read_missing_soon,
            stored_until=lambda: max(self._appended, default=0),
        )

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await super().__aexit__(*details)
        if self._reading:
            await cancel_and_wait(self._reading)

    @property
    def is_current(self) -> bool:
        return super().is_current and not self._without_event

    async def caught_up(self) -> None:
        """Return once every feature has its newest event, even if invalid messages follow it."""
        await super().caught_up()
        while self._without_event:
            await asyncio.shield(self._reading_task())

    async def catch_up(self) -> None:
        await super().catch_up()
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await self.caught_up()
        except TimeoutError as error:
            raise Unavailable(f"cannot read the newest event of {next(iter(self._without_event))}") from error

    def _read_missing_soon(self) -> None:
        if self._without_event:
            self._reading_task()

    def _reading_task(self) -> "asyncio.Task[None]":
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_missing(), name="read features without an event")
        return self._reading

    async def _read_missing(self) -> None:
        """Read the events that invalid messages hide; try again while the broker does not answer."""
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, jitter=RETRY_JITTER)
        while self._without_event:
            key = next(iter(self._without_event))
            try:
                await self._read_event(key)
                backoff.reset()
            except Unavailable as error:
                repeated.warning("read", "cannot read the newest event of %s, trying again: %s", key, error)
                await asyncio.sleep(backoff.next_seconds())

    async def _read_event(self, key: FeatureKey) -> None:
        """Let a feature have the newest event before an invalid message, unless a newer one has come."""
        resets = self.resets
        tail = await self._log.newest_tail(key)
        if tail.sequence < self._without_event.get(key, 0):
            raise Unavailable(f"the log was read to {tail.sequence} only, not to the invalid message")
        if self.resets != resets or key not in self._without_event:
            return  # what was read may be of a history that is lost, or older than what has come since
        del self._without_event[key]
        if tail.logged:
            self._set(self._entry_of(tail.logged, tail.sequence))
        elif before := self._entries.pop(key, None):
            self._no_event[key] = nothing = FeatureEntry(key, 0, NO_EVENT, data=b"")
            self._announce(before, nothing)

    def with_index(self, index: Index) -> Index:
        """Keep an index current from now on, and return it."""
        for entry in self:
            index.replace(None, entry, self._entries)
        self._indexes.append(index)
        return index

    def get(self, key: FeatureKey) -> FeatureEntry | None:
        """Return the newest entry of a feature."""
        return self._entries.get(key)

    def __iter__(self) -> Iterator[FeatureEntry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def position(self) -> Position:
        """How far the log was followed."""
        return self.follower.position

    @property
    def resets(self) -> int:
        """How often the log was read from the start again; sequences read before may be void."""
        return self.follower.resets

    def parse(self, data: bytes, key: FeatureKey) -> FeatureEvent:
        """Return the event in a message, as `parse_event`; it is parsed once, here or when it is followed."""
        entry = self._entries.get(key)
        if entry and entry.body == data:
            return entry.event
        event = self._read_ahead.get(data)
        if event is None or event.feature.key != key:
            event = parse_event(data, key)
            if len(data) <= READ_AHEAD_BYTES_MAX:
                self._read_ahead[data] = event
        return event

    @contextmanager
    def appending(self, event: EncodedEvent) -> Iterator[None]:
        """Append an event in the block: if it is read before that is known to be done, it is not parsed."""
        self._appending[event.data] = event.event
        try:
            yield
        finally:
            self._appending.pop(event.data, None)

    def add(self, event: EncodedEvent, sequence: int) -> None:
        """Add an event that this process has appended, unless the follower has received it already."""
        key = event.event.feature.key
        known = self._entries.get(key)
        if known and known.sequence >= sequence:
            return
        self._appended[sequence] = event.headers[envelope.CE_ID]
        entry = FeatureEntry(key, sequence, event.headers, data=event.data, parsed=self._parsed)
        entry.keep_parsed(event.event)
        self._set(entry)

    def _reset(self) -> None:
        self._entries.clear()
        self._without_event.clear()
        self._no_event.clear()
        self._appended.clear()
        self._parsed.clear()
        for index in self._indexes:
            index.clear()
        self.on_reset()

    def _on_record(self, record: Record) -> None:
        if self._appended and self._is_own_echo(record):
            return
        try:
            key = subjects.parse_feature(record.subject)
            known = self._entries.get(key)
            if known is None or known.sequence < record.sequence:
                self._set(self._parse(key, record))
        except (Rejected, ValueError) as error:
            self._reject(record, str(error))

    def _is_own_echo(self, record: Record) -> bool:
        """Return whether this process has appended a record, which needs not be parsed then.

        An event that it has appended and that does not come is of a history that is lost.
        """
        first = min(self._appended) if self.follower.is_caught_up else record.sequence
        appended = self._appended.pop(record.sequence, None)
        if first < record.sequence or (appended and appended != record.headers.get(envelope.CE_ID)):
            self._appended.clear()
            why = f"message {min(first, record.sequence)}, which this process has appended, is not there"
            asyncio.get_running_loop().call_soon(self.follower.read_again, why)
            return False
        return appended is not None

    def _parse(self, key: FeatureKey, record: Record) -> FeatureEntry:
        if not record.headers.get(envelope.CE_TYPE, "").startswith(TYPE_PREFIX):
            raise Rejected(f"its ce-type does not start with {TYPE_PREFIX}")
        entry = FeatureEntry(key, record.sequence, record.headers, data=record.data, parsed=self._parsed)
        parsed = self._appending.get(record.data) or self._read_ahead.pop(record.data, None)
        if parsed and parsed.feature.key == key:
            entry.keep_parsed(parsed)
        elif self.follower.is_caught_up:
            entry.event  # noqa: B018  (parses: an invalid live message is rejected immediately)
        return entry

    def _set(self, entry: FeatureEntry) -> None:
        before = self._entries.get(entry.key) or self._no_event.pop(entry.key, None)
        if before:
            self._parsed.drop(before)
        self._entries[entry.key] = entry
        self._without_event.pop(entry.key, None)
        self._announce(before, entry)

    def _announce(self, before: FeatureEntry | None, entry: FeatureEntry) -> None:
        for index in self._indexes:
            index.replace(before, entry, self._entries)
        self.on_change(entry)

    def _entry_of(self, logged: LoggedEvent, tail: int) -> FeatureEntry:
        sequence, event = logged
        data, headers = event.to_json(), headers_of(event, "")
        entry = FeatureEntry(event.feature.key, sequence, headers, data=data, parsed=self._parsed)
        entry.tail = tail
        return entry

    def _replace_soon(self, key: FeatureKey, sequence: int, reason: str) -> None:
        """Read the event before an entry whose body turned out invalid: a snapshot parses no bodies."""
        entry = self._entries.get(key)
        if entry is None or entry.sequence != sequence or key in self._without_event:
            return
        log.warning("%s: message %s is not a valid event: %s", key, sequence, reason)
        self.on_invalid(subjects.feature(key), entry.body, reason)
        self._without_event[key] = sequence
        self._reading_task()

    def _reject(self, record: Record, reason: str) -> None:
        log.warning("%s: message %s is not a valid event: %s", record.subject, record.sequence, reason)
        self.on_invalid(record.subject, record.data, reason)
        try:
            key = subjects.parse_feature(record.subject)
        except ValueError:
            return
        if known := self._entries.get(key):
            known.tail = record.sequence
        elif not self.follower.is_caught_up:  # afterwards, a feature without an entry has no event
            self._without_event[key] = record.sequence
