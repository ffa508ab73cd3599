"""The newest event of every feature, in memory, by following the log. Bodies are parsed when needed."""

import asyncio
import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ..contracts import envelope, subjects
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import TriggerStatus
from ..contracts.identifiers import FeatureKey
from ..contracts.revisions import RevisionTag
from ..errors import Rejected
from ..pipelines.catalogue_decisions import Usage
from ..pipelines.references import references_of
from .connection import Connection
from .feature_log import TYPE_PREFIX, EncodedEvent, FeatureLog, LoggedEvent, LogTail, headers_of, parse_event
from .parsed_events import ParsedEvents
from .stream_follower import Follower, Position, Record, StreamView

log = logging.getLogger(__name__)

#: The types of events by their `ce-type`.
TYPES: Mapping[str, EventType] = {f"{TYPE_PREFIX}{type_}": type_ for type_ in EventType}


class FeatureEntry:
    """The newest event of a feature: its bytes, and what its headers say of it without the body.

    What is parsed is kept for as long as `ParsedEvents` has room for it. Raises `Rejected` if a header is
    invalid.
    """

    __slots__ = (
        "_data",
        "_parsed",
        "_restorable",
        "alert_keys",
        "due_ms",
        "evaluated_references",
        "key",
        "observed_until_ms",
        "pipeline",
        "references",
        "running_pipeline",
        "sequence",
        "status",
        "tail",
        "type",
    )

    def __init__(
        self,
        key: FeatureKey,
        sequence: int,
        headers: Mapping[str, str],
        *,
        data: bytes,
        parsed: ParsedEvents | None = None,
    ) -> None:
        self.key = key
        self.sequence = sequence
        #: The last sequence of the subject: what an append must expect.
        self.tail = sequence
        self._data = data
        self._parsed = ParsedEvents() if parsed is None else parsed
        try:
            self._read(headers)
        except ValueError as error:
            raise Rejected(f"invalid header: {error}") from error

    def _read(self, headers: Mapping[str, str]) -> None:
        get = headers.get
        #: What happened; None if this version does not know the type.
        self.type = TYPES.get(get(envelope.CE_TYPE, ""))
        status, due = get(envelope.STATUS), get(envelope.DUE)
        #: Status of the newest trigger.
        self.status = TriggerStatus(status) if status else None
        #: When the bake of the current phase ends.
        self.due_ms = int(due) if due else None
        #: Until when its completed release may still be rolled back; 0 if it may not.
        self.observed_until_ms = int(get(envelope.OBSERVED, 0))
        #: The pipeline that the feature is attached to.
        self.pipeline = _shared(get(envelope.PIPELINE))
        #: The pipeline of the active trigger.
        self.running_pipeline = _shared(get(envelope.RUNNING_PIPELINE))
        #: Which alerts may concern the newest trigger, as text; None if an older version has stored it.
        self.alert_keys = get(envelope.ALERT_KEYS)
        is_archived = envelope.ARCHIVED in headers
        #: The specs that the feature refers to; None if it is archived.
        self.references = None if is_archived else _names(get(envelope.REFERENCES))
        #: Those of them that regions evaluate: none while it is switched off.
        self.evaluated_references = () if envelope.SWITCHED_OFF in headers else self.references
        self._restorable = _restorable(get(envelope.RESTORABLE), is_archived, self.observed_until_ms)

    @property
    def event(self) -> FeatureEvent:
        """The event; raises `Rejected` if the body is invalid."""
        event = self._parsed.get(self)
        if event is None:
            event = parse_event(self._data, self.key)
            self.keep_parsed(event)
        return event

    def keep_parsed(self, event: FeatureEvent) -> None:
        """Keep what the body is when it is parsed, so that it need not be, while there is room."""
        self._parsed.keep(self, event, len(self._data))

    @property
    def logged(self) -> LogTail:
        return LogTail(LoggedEvent(self.sequence, self.event), self.tail)

    @property
    def revision_tag(self) -> RevisionTag:
        """The tag of the state after the event."""
        return self.logged.revision_tag

    @property
    def is_active(self) -> bool:
        """Whether a trigger is active."""
        return self.status is not None and self.status.is_active

    def restorable_references(self, now_ms: int) -> tuple[str, ...]:
        """Return what the version refers to that a rollback would restore; nothing if it could not."""
        if self.observed_until_ms <= now_ms:
            return ()
        if self._restorable is None:  # an event of version 0.1.0, which says it in its body only
            self._restorable = self._read_restorable()
        return self._restorable

    def _read_restorable(self) -> tuple[str, ...]:
        try:
            return references_of(self.event.feature.previous)
        except Rejected:
            return ()


def _shared(name: str | None) -> str | None:
    """Return a name; the features that it stands for share one copy."""
    return sys.intern(name) if name else None


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(map(sys.intern, text.split())) if text else ()


def _restorable(text: str | None, is_archived: bool, observed_until_ms: int) -> tuple[str, ...] | None:
    """Return what a rollback restores; None if only the body says it."""
    if is_archived or not observed_until_ms:
        return ()
    return _names(text)[1:] if text else None


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
        self._parsed = ParsedEvents()
        #: What this process is appending, by its bytes: as many as commands are in work.
        self._appending: dict[bytes, FeatureEvent] = {}
        #: What this process has appended and not read yet: sequence → `ce-id`; as many again.
        self._appended: dict[int, str] = {}
        self._log = feature_log
        self.on_change: Callable[[FeatureEntry], None] = lambda entry: None
        self.on_invalid: Callable[[str, bytes, str], None] = lambda subject, data, reason: None
        self.on_reset: Callable[[], None] = lambda: None
        self._without_event: set[FeatureKey] = set()
        self.follower = Follower(
            connection,
            subjects.FEATURES_STREAM,
            [subjects.FEATURES],
            self._on_record,
            on_reset=self._reset,
        )

    async def caught_up(self) -> None:
        """Return once every feature has its newest event, even if invalid messages follow it."""
        await super().caught_up()
        while self._without_event:
            key = self._without_event.pop()
            tail = await self._log.tail(key)
            if tail.logged and key not in self._entries:
                self._set(self._entry_of(tail.logged, tail.sequence))

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

    def references(self) -> dict[str, tuple[str, ...]]:
        """Return every feature that is not archived, by the name of its spec, and what it refers to."""
        return {
            entry.key.spec_name: references for entry in self if (references := entry.references) is not None
        }

    def restorable(self, now_ms: int) -> dict[str, tuple[str, ...]]:
        """Return what would be referred to after a rollback of a completed release, by the spec's name."""
        return {
            entry.key.spec_name: references
            for entry in self
            if (references := entry.restorable_references(now_ms))
        }

    def usage(self) -> Usage:
        """Return which features are attached to each pipeline, and which are being released by it."""
        attached: dict[str, list[str]] = defaultdict(list)
        running: dict[str, list[str]] = defaultdict(list)
        for entry in self:
            if pipeline := entry.pipeline:
                attached[pipeline].append(str(entry.key))
            if pipeline := entry.running_pipeline:
                running[pipeline].append(str(entry.key))
        return Usage(_as_tuples(attached), _as_tuples(running))

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
        self._appended.clear()
        self._parsed.clear()
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
        own = self._appending.get(record.data)
        if own and own.feature.key == key:
            entry.keep_parsed(own)
        elif self.follower.is_caught_up:
            entry.event  # noqa: B018  (parses: an invalid live message is rejected immediately)
        return entry

    def _set(self, entry: FeatureEntry) -> None:
        self._entries[entry.key] = entry
        self.on_change(entry)

    def _entry_of(self, logged: LoggedEvent, tail: int) -> FeatureEntry:
        sequence, event = logged
        data, headers = event.to_json(), headers_of(event, "")
        entry = FeatureEntry(event.feature.key, sequence, headers, data=data, parsed=self._parsed)
        entry.tail = tail
        return entry

    def _reject(self, record: Record, reason: str) -> None:
        log.warning("%s: message %s is not a valid event: %s", record.subject, record.sequence, reason)
        self.on_invalid(record.subject, record.data, reason)
        try:
            key = subjects.parse_feature(record.subject)
        except ValueError:
            return
        if known := self._entries.get(key):
            known.tail = record.sequence
        else:
            self._without_event.add(key)


def _as_tuples(lists: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(members) for name, members in lists.items()}
