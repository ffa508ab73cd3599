"""The newest event of a feature, in memory."""

import sys
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ..contracts import envelope
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import TriggerStatus
from ..contracts.identifiers import FeatureKey
from ..contracts.revisions import RevisionTag, revision_tag
from ..errors import InvalidEvent, Rejected
from ..pipelines.references import references_of
from .feature_log import TYPE_PREFIX, LoggedEvent, LogTail, parse_event
from .parsed_events import ParsedEvents

#: The types of events by their `ce-type`.
TYPES: Mapping[str, EventType] = {f"{TYPE_PREFIX}{type_}": type_ for type_ in EventType}


class EncodedState(NamedTuple):
    """A feature as JSON, and the tag of this state."""

    feature: bytes
    revision_tag: RevisionTag


class FeatureEntry:
    """The newest event of a feature: its bytes, and what its headers say of it without the body.

    What is parsed is kept for as long as `ParsedEvents` has room for it. Raises `Rejected` if a header is
    invalid.
    """

    __slots__ = (
        "_data",
        "_is_valid",
        "_parsed",
        "_restorable",
        "alert_keys",
        "due_ms",
        "evaluated_references",
        "key",
        "metric_guardrails",
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
        self._is_valid = False
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
        self.alert_keys = _shared(get(envelope.ALERT_KEYS))
        #: How many metric guardrails the newest trigger has; None if an older version has stored it.
        guardrails = get(envelope.METRIC_GUARDRAILS)
        self.metric_guardrails = int(guardrails) if guardrails else None
        is_archived = envelope.ARCHIVED in headers
        #: The specs that the feature refers to; None if it is archived.
        self.references = None if is_archived else _names(get(envelope.REFERENCES))
        #: Those of them that regions evaluate: none while it is switched off.
        self.evaluated_references = () if envelope.SWITCHED_OFF in headers else self.references
        self._restorable = _restorable(get(envelope.RESTORABLE), is_archived, self.observed_until_ms)

    @property
    def event(self) -> FeatureEvent:
        """The event; raises `InvalidEvent` if the body is invalid, and then the event before it is read."""
        event = self._parsed.get(self)
        if event is None:
            try:
                event = parse_event(self._data, self.key)
            except InvalidEvent as error:
                self._parsed.on_invalid(self.key, self.sequence, str(error))
                raise
            self.keep_parsed(event)
        return event

    @property
    def is_valid(self) -> bool:
        """Whether the body is known to be valid: it was parsed once."""
        return self._is_valid

    @property
    def encoded_state(self) -> EncodedState:
        """The state after the event, without parsing it; the body must be valid."""
        try:
            found = _STATES.decode(self._data)
        except msgspec.MsgspecError as error:
            raise InvalidEvent(f"invalid event of {self.key}: {error}") from error
        tag = revision_tag(self.sequence, found.command_id, found.time_ms)
        return EncodedState(bytes(found.feature), tag)

    @property
    def body(self) -> bytes:
        """The event's JSON."""
        return self._data

    def keep_parsed(self, event: FeatureEvent) -> None:
        """Keep what the body is when it is parsed, so that it need not be, while there is room."""
        self._is_valid = True
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

    @property
    def restorable_references(self) -> tuple[str, ...]:
        """What the version refers to that a rollback until `observed_until_ms` would restore."""
        if self._restorable is None:  # an event without such a version, or one of version 0.1.0
            self._restorable = self._read_restorable()
        return self._restorable

    def _read_restorable(self) -> tuple[str, ...]:
        try:
            if _PREVIOUS.decode(self._data).feature.previous == NULL:
                return ()
            return references_of(self.event.feature.previous)
        except (Rejected, msgspec.DecodeError):
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


#: In a body that has no version to restore.
NULL = b"null"


class _StateOnly(msgspec.Struct):
    feature: msgspec.Raw
    command_id: str = msgspec.field(name="commandID")
    time_ms: int = msgspec.field(name="timeMs")


_STATES = msgspec.json.Decoder(_StateOnly)


class _PreviousOnly(msgspec.Struct):
    previous: msgspec.Raw = msgspec.Raw(NULL)


class _FeatureOnly(msgspec.Struct):
    feature: _PreviousOnly


_PREVIOUS = msgspec.json.Decoder(_FeatureOnly)
