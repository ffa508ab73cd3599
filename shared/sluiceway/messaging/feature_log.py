"""The log of every feature: events are appended conditionally and read, never changed."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from ..contracts import envelope, subjects
from ..contracts.commands import derived_id
from ..contracts.event_reader import EventReader
from ..contracts.events import FeatureEvent
from ..contracts.feature import Spec
from ..contracts.identifiers import FeatureKey
from ..contracts.revisions import NOTHING_STORED, RevisionTag, revision_tag
from ..contracts.validation_errors import describe_errors
from ..errors import InvalidEvent, Rejected, Unavailable, error_text
from ..pipelines.alert_keys import header_of_keys, release_keys
from ..pipelines.guardrail_schedule import count_metric_guardrails
from ..pipelines.references import evaluated_references, feature_references, references_of
from ..pipelines.substitutes import TAKEN_BACK, LiveVersions
from .connection import Connection
from .history import read_history, read_records
from .jetstream_api import newest_message
from .publishing import Appended, ConditionalMessage, StreamPublisher
from .read_slots import SINGLE_MESSAGES

log = logging.getLogger(__name__)

TYPE_PREFIX = "sluiceway."
_READER = EventReader()
#: Versions of a feature that are looked through for one that can be published.
LIVE_VERSIONS_MAX = 20


class LoggedEvent(NamedTuple):
    """An event and its place in FEATURES."""

    sequence: int
    event: FeatureEvent

    @property
    def revision_tag(self) -> RevisionTag:
        """The tag of the state after the event."""
        return revision_tag(self.sequence, self.event.command_id, self.event.time_ms)


class EncodedEvent(NamedTuple):
    """An event in the form that is stored."""

    event: FeatureEvent
    headers: Mapping[str, str]
    data: bytes
    #: The feature in it.
    feature: bytes


class LogTail(NamedTuple):
    """The end of a feature's log: its newest event, and the sequence that the next append must expect.

    The two differ only if an invalid message was published on the subject.
    """

    logged: LoggedEvent | None
    sequence: int

    @property
    def revision_tag(self) -> RevisionTag:
        """The tag of the feature's state; `NOTHING_STORED` if it was never saved."""
        return self.logged.revision_tag if self.logged else NOTHING_STORED


Parse = Callable[[bytes, FeatureKey], FeatureEvent]


class FeatureLog:
    """Appends and reads events. One conditional write is the decision, the record and the message."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._js = connection.js
        self._replies = connection.replies
        self._publisher = StreamPublisher(connection, subjects.FEATURES_STREAM)
        self._source = source

    @property
    def message_bytes_max(self) -> int:
        """The bytes of a message, headers included, that the broker takes."""
        return self._publisher.message_bytes_max

    def encode(self, event: FeatureEvent) -> EncodedEvent:
        """Return an event as `append` stores it."""
        feature = event.feature.to_stored_json()
        return EncodedEvent(event, headers_of(event, self._source), event.to_json_with(feature), feature)

    async def append(self, event: EncodedEvent, expected: int) -> int:
        """Append after the sequence `expected` of the feature's subject; return where it is stored.

        Raises `Conflict` if another event came first, `MessageTooLarge`, and `Unavailable` if it is unknown
        whether the event is stored: reading the tail tells.
        """
        return await self._publisher.append(_message(event, expected))

    async def append_all(self, events: Iterable[tuple[EncodedEvent, int]]) -> list[Appended]:
        """Append events of different features, each after the sequence beside it, with one write.

        Return the sequence or the error of each. Raises `Unavailable` if it is unknown whether all of them
        are stored or refused.
        """
        return await self._publisher.append_all([_message(event, expected) for event, expected in events])

    async def tail(self, key: FeatureKey) -> LogTail:
        """Return the end of a feature's log. Invalid messages there are skipped.

        Any replica of the stream answers, which may lack the newest messages.
        """
        try:
            message = await self._js.get_last_msg(
                subjects.FEATURES_STREAM, subjects.feature(key), direct=True
            )
        except NotFoundError:
            return LogTail(None, 0)
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot read the stream FEATURES: {error_text(error)}") from error
        return await self._tail_at(key, message.seq or 0, message.data or b"", parse_event)

    async def newest_tail(self, key: FeatureKey, parse: Parse | None = None) -> LogTail:
        """Return the same from the stream's leader: nothing is newer.

        `parse` returns the event in the newest message, or raises `Rejected`; by default, as `parse_event`.
        """
        try:
            message = await newest_message(self._replies, subjects.FEATURES_STREAM, subjects.feature(key))
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot read the stream FEATURES: {error_text(error)}") from error
        if message is None:
            return LogTail(None, 0)
        return await self._tail_at(key, message.seq, message.data, parse or parse_event)

    async def _tail_at(self, key: FeatureKey, sequence: int, data: bytes, parse: Parse) -> LogTail:
        """Return the tail that ends with this message, which is skipped if it is invalid."""
        try:
            return LogTail(LoggedEvent(sequence, parse(data, key)), sequence)
        except Rejected as error:
            log.warning("%s: skipping invalid message %s: %s", key, sequence, error)
        return LogTail(await self._newest_event(key, sequence), sequence)

    async def _newest_event(self, key: FeatureKey, until: int) -> LoggedEvent | None:
        """Return the newest event of a feature up to a sequence, which is that of an invalid message.

        Raises `Unavailable` if the replica that answers does not have that message yet: it may lack the event
        before it as well.
        """
        newest, last = None, 0
        async for record in read_records(self._js, subjects.FEATURES_STREAM, subjects.feature(key)):
            last = record.sequence
            if last <= until and (event := _event_or_none(record.data, key)):
                newest = LoggedEvent(last, event)
        if last < until:
            raise _not_read(f"{key} in the stream FEATURES", last, until)
        return newest

    async def first(self, key: FeatureKey) -> LoggedEvent | None:
        """Return the first event of a feature; None if there is none, or if it is invalid."""
        try:
            message = await self._next_message(key, 1)
        except NotFoundError:
            return None
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot read the stream FEATURES: {error_text(error)}") from error
        event = _event_or_none(message.data or b"", key)
        return LoggedEvent(message.seq or 0, event) if event else None

    async def at(self, sequence: int) -> FeatureEvent:
        """Return the event at a sequence; raise `Unavailable` without one, `Rejected` if it is invalid."""
        try:
            async with SINGLE_MESSAGES.of(self._js._nc):
                message = await self._js.get_msg(subjects.FEATURES_STREAM, seq=sequence, direct=True)
        except (NatsError, TimeoutError) as error:
            raise Unavailable(
                f"cannot read message {sequence} of the stream FEATURES: {error_text(error)}"
            ) from error
        return parse_event(message.data or b"")

    async def read_history(self, key: FeatureKey, until: int = 0) -> list[LoggedEvent]:
        """Return all events of a feature, oldest first, without invalid messages.

        Raises `Unavailable` if the replica that answers does not have the message `until` yet.
        """
        found = await read_history(self._js, subjects.FEATURES_STREAM, subjects.feature(key))
        if (last := found[-1][0] if found else 0) < until:
            raise _not_read(f"{key} in the stream FEATURES", last, until)
        return [
            LoggedEvent(sequence, event) for sequence, data in found if (event := _event_or_none(data, key))
        ]

    async def live_versions(self, key: FeatureKey, until: int) -> LiveVersions:
        """Return the newest versions of a feature that were live, however long its log is.

        Invalid messages are skipped. Raises `Unavailable` if the log cannot be read to the event with the
        sequence `until`: what a replica does not have yet may be that a version was taken back.
        """
        specs: dict[int, Spec] = {}
        taken_back: set[str] = set()
        last = 0
        async for logged in self._walk(key):
            last, feature = logged.sequence, logged.event.feature
            if feature.base and feature.base.version not in specs:
                specs[feature.base.version] = feature.base
                if len(specs) > LIVE_VERSIONS_MAX:
                    specs.pop(next(iter(specs)))
            if feature.trigger and feature.trigger.status in TAKEN_BACK:
                taken_back.add(feature.trigger.id)
        if last < until:
            raise _not_read(f"{key} in the stream FEATURES", last, until)
        return LiveVersions(tuple(reversed(specs.values())), frozenset(taken_back))

    async def _walk(self, key: FeatureKey) -> AsyncIterator[LoggedEvent]:
        """Yield the events of a feature, oldest first, one in memory at a time."""
        sequence = 0
        while True:
            try:
                message = await self._next_message(key, sequence + 1)
            except NotFoundError:
                return
            except (NatsError, TimeoutError) as error:
                raise Unavailable(f"cannot read the stream FEATURES: {error_text(error)}") from error
            sequence = message.seq or 0
            if event := _event_or_none(message.data or b"", key):
                yield LoggedEvent(sequence, event)

    async def _next_message(self, key: FeatureKey, sequence: int) -> RawStreamMsg:
        """Return the first message of a feature that has this sequence or a later one."""
        async with SINGLE_MESSAGES.of(self._js._nc):
            return await self._js.get_msg(
                subjects.FEATURES_STREAM,
                seq=sequence,
                subject=subjects.feature(key),
                direct=True,
                next=True,
            )

    async def between(self, after: int, until: int) -> AsyncIterator[LoggedEvent]:
        """Yield the events of all features after a sequence, up to another one, without invalid messages.

        Oldest first, a few megabytes in memory at a time. Raises `Unavailable` at the end if the replica that
        answers does not have all of them.
        """
        stream, subject, last = subjects.FEATURES_STREAM, subjects.FEATURES, after
        async for record in read_records(self._js, stream, subject, after=after, until=until):
            last = record.sequence
            if event := _event_or_none(record.data):
                yield LoggedEvent(record.sequence, event)
        if last < until:
            raise _not_read("the stream FEATURES", last, until)


def _not_read(what: str, last: int, until: int) -> Unavailable:
    return Unavailable(f"cannot read {what} to {until} yet, only to {last}")


def _message(event: EncodedEvent, expected: int) -> ConditionalMessage:
    subject = subjects.feature(event.event.feature.key)
    return ConditionalMessage(subject, event.data, event.headers, expected)


def headers_of(event: FeatureEvent, source: str) -> dict[str, str]:
    """Return the headers of an event: its envelope, and what followers read without parsing the body."""
    feature = event.feature
    headers = envelope.cloud_event(
        TYPE_PREFIX + event.type,
        id_=_event_id(event),
        time_ms=event.time_ms,
        source=source,
        subject=str(feature.key),
    )
    if feature.recent_commands:
        headers[envelope.COMMAND] = feature.recent_commands[-1]
    if feature.trigger:
        headers[envelope.STATUS] = feature.trigger.status
        if feature.trigger.observed_until_ms is not None:
            headers[envelope.OBSERVED] = str(feature.trigger.observed_until_ms)
        headers[envelope.METRIC_GUARDRAILS] = str(count_metric_guardrails(feature.trigger))
        headers[envelope.ALERT_KEYS] = header_of_keys(release_keys(feature.trigger))
    if feature.release_pipeline_id:
        headers[envelope.PIPELINE] = feature.release_pipeline_id
    if references := feature_references(feature):
        headers[envelope.REFERENCES] = " ".join(references)
        if not evaluated_references(feature):
            headers[envelope.SWITCHED_OFF] = "true"
    if previous := feature.previous:
        headers[envelope.RESTORABLE] = " ".join((str(previous.version), *references_of(previous)))
    if feature.archived:
        headers[envelope.ARCHIVED] = "true"
    if active := feature.active_trigger:
        headers[envelope.RUNNING_PIPELINE] = active.pipeline.id
        if active.due_ms is not None:
            headers[envelope.DUE] = str(active.due_ms)
    return headers


def _event_id(event: FeatureEvent) -> str:
    """Return an id that no other event has, whatever ids the senders of commands choose."""
    commands = event.feature.recent_commands[-1:] or (event.command_id,)
    return derived_id("event", *commands, event.feature.key, event.time_ms)


def parse_event(data: bytes, key: FeatureKey | None = None) -> FeatureEvent:
    """Return the event in `data`; raise `InvalidEvent` if it is invalid, or about another feature than `key`.

    Fields that this version does not know are ignored, so that versions can run side by side.
    """
    try:
        event = _READER.read(data)
    except ValidationError as error:
        of_feature = f" of {key}" if key else ""
        raise InvalidEvent(f"invalid event{of_feature}: {describe_errors(error)}") from error
    if key and event.feature.key != key:
        raise InvalidEvent(f"the event is about {event.feature.key}, its subject about {key}")
    return event


def _event_or_none(data: bytes, key: FeatureKey | None = None) -> FeatureEvent | None:
    try:
        return parse_event(data, key)
    except Rejected:
        return None
