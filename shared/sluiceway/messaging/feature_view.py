"""The newest event of every feature, in memory, by following the log. Bodies are parsed when needed."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from ..contracts import envelope, subjects
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import TriggerStatus
from ..contracts.identifiers import FeatureKey
from ..contracts.revisions import RevisionTag
from ..errors import Rejected
from ..pipelines.catalogue_decisions import Usage
from ..pipelines.references import references_of
from .connection import Connection
from .feature_log import TYPE_PREFIX, FeatureLog, LoggedEvent, LogTail, headers_of, parse_event
from .stream_follower import Follower, Position, Record, StreamView

log = logging.getLogger(__name__)


class FeatureEntry:
    """The newest event of a feature; its most important fields are read from headers, without the body."""

    __slots__ = ("_data", "_event", "headers", "key", "sequence", "tail")

    def __init__(
        self,
        key: FeatureKey,
        sequence: int,
        headers: Mapping[str, str],
        *,
        data: bytes = b"",
        event: FeatureEvent | None = None,
    ) -> None:
        self.key = key
        self.sequence = sequence
        #: The last sequence of the subject: what an append must expect.
        self.tail = sequence
        self.headers = headers
        self._data = data
        self._event = event

    @property
    def event(self) -> FeatureEvent:
        """The event; raises `Rejected` if the body is invalid."""
        if self._event is None:
            self._event, self._data = parse_event(self._data, self.key), b""
        return self._event

    @property
    def logged(self) -> LogTail:
        return LogTail(LoggedEvent(self.sequence, self.event), self.tail)

    @property
    def revision_tag(self) -> RevisionTag:
        """The tag of the state after the event."""
        return self.logged.revision_tag

    @property
    def type(self) -> EventType | None:
        """What happened; None if this version does not know the type."""
        text = self.headers.get(envelope.CE_TYPE, "").removeprefix(TYPE_PREFIX)
        try:
            return EventType(text)
        except ValueError:
            return None

    @property
    def status(self) -> TriggerStatus | None:
        """Status of the newest trigger."""
        text = self.headers.get(envelope.STATUS)
        return TriggerStatus(text) if text else None

    @property
    def pipeline(self) -> str | None:
        """The pipeline that the feature is attached to."""
        return self.headers.get(envelope.PIPELINE)

    @property
    def is_active(self) -> bool:
        """Whether a trigger is active."""
        return self.status is not None and self.status.is_active

    @property
    def observed_until_ms(self) -> int:
        """Until when its completed release may still be rolled back; 0 if it may not."""
        return int(self.headers.get(envelope.OBSERVED, "0"))

    @property
    def references(self) -> tuple[str, ...] | None:
        """The specs that the feature refers to; None if it is archived."""
        if envelope.ARCHIVED in self.headers:
            return None
        return tuple(self.headers.get(envelope.REFERENCES, "").split())

    @property
    def evaluated_references(self) -> tuple[str, ...] | None:
        """Those of them that regions evaluate: none while it is switched off."""
        return () if envelope.SWITCHED_OFF in self.headers else self.references

    def restorable_references(self, now_ms: int) -> tuple[str, ...]:
        """Return what the version refers to that a rollback would restore; nothing if it could not."""
        if self.observed_until_ms <= now_ms or envelope.ARCHIVED in self.headers:
            return ()
        if restorable := self.headers.get(envelope.RESTORABLE):
            return tuple(restorable.split()[1:])
        try:  # an event of version 0.1.0, which says it in its body only
            return references_of(self.event.feature.previous)
        except Rejected:
            return ()

    @property
    def due_ms(self) -> int | None:
        """When the bake of the current phase ends."""
        text = self.headers.get(envelope.DUE)
        return int(text) if text else None


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
            if tail.logged:
                self._set(_entry_of(tail), key)

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
            if pipeline := entry.headers.get(envelope.RUNNING_PIPELINE):
                running[pipeline].append(str(entry.key))
        return Usage(_as_tuples(attached), _as_tuples(running))

    def add(self, event: FeatureEvent, sequence: int) -> None:
        """Add an event that this process has just appended, before the follower receives it."""
        entry = FeatureEntry(event.feature.key, sequence, headers_of(event, ""), event=event)
        self._set(entry, event.feature.key)

    def _reset(self) -> None:
        self._entries.clear()
        self._without_event.clear()
        self.on_reset()

    def _on_record(self, record: Record) -> None:
        try:
            key = subjects.parse_feature(record.subject)
            known = self._entries.get(key)
            if known and known.sequence >= record.sequence:
                return
            entry = FeatureEntry(key, record.sequence, record.headers, data=record.data)
            if not record.headers.get(envelope.CE_TYPE, "").startswith(TYPE_PREFIX):
                raise Rejected(f"its ce-type does not start with {TYPE_PREFIX}")
            if self.follower.is_caught_up:
                entry.event  # noqa: B018  (parses: an invalid live message is rejected immediately)
        except (Rejected, ValueError) as error:
            self._reject(record, str(error))
            return
        self._set(entry, key)

    def _set(self, entry: FeatureEntry, key: FeatureKey) -> None:
        known = self._entries.get(key)
        if known and known.sequence >= entry.sequence:
            return
        self._entries[key] = entry
        self.on_change(entry)

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


def _entry_of(tail: LogTail) -> FeatureEntry:
    assert tail.logged
    sequence, event = tail.logged
    entry = FeatureEntry(event.feature.key, sequence, headers_of(event, ""), event=event)
    entry.tail = tail.sequence
    return entry
