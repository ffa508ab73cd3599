"""Who did what, when and why: queries of the streams FEATURES, CATALOG and AUDIT."""

from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from nats.errors import Error as NatsError
from pydantic import ValidationError

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.audit_records import AuditRecord, AuditType
from sluiceway.contracts.events import EventType
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.models import WireModel
from sluiceway.errors import Unavailable, error_text
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.history import read_records
from sluiceway.messaging.stream_records import Record

from .event_models import decode_event

#: Entries of a page, unless a limit is given.
PAGE_LIMIT = 50
#: Messages read at a time, newest window first.
WINDOW = 500
#: Messages read for one page at most; `next` continues after them.
MESSAGES_PER_PAGE_MAX = 20_000


class AuditStream(StrEnum):
    """Which of the logs."""

    #: every event of gates, configs and segments, from the first one on
    FEATURES = "features"
    #: environments, regions, pipelines, freezes, sources of alerts and keys: the newest changes of each
    CATALOGUE = "catalogue"
    #: sign-ins, the use of keys, and refusals; for admins only
    ACCESS = "access"


STREAM_NAMES: Mapping[AuditStream, str] = {
    AuditStream.FEATURES: subjects.FEATURES_STREAM,
    AuditStream.CATALOGUE: subjects.CATALOG_STREAM,
    AuditStream.ACCESS: subjects.AUDIT_STREAM,
}


class AuditEntry(WireModel):
    """One change, sign-in or refusal."""

    #: Its sequence in its log.
    revision: int
    time_ms: int
    actor_id: str
    #: The key or service that vouches for the actor; null if nobody does.
    vouched_by: str | None
    #: What happened: the type of an event or audit record, or the verb that changed a document.
    type: str
    #: `gate.new_checkout`, `pipeline.prod-release`, or `approve gate.new_checkout.1`.
    about: str
    trigger_id: str | None = None
    pipeline_id: str | None = None
    phase_id: str | None = None
    reason: str | None = None
    #: Where the request of a sign-in or refusal came from.
    address: str | None = None
    #: Freezes that were overridden.
    overrode: list[str] = []
    #: What the event leaves out, so that it fits into a message.
    left_out: list[str] = []
    #: The alert or guardrail that caused it.
    alert: dict[str, Any] = {}
    guardrail: dict[str, Any] = {}


class AuditPage(WireModel):
    """Some changes, newest first."""

    data: list[AuditEntry]
    #: Pass this as `before` for the next page; null on the last one.
    next: int | None


class AuditQuery(NamedTuple):
    """Which changes to return; None matches all."""

    log: AuditStream = AuditStream.FEATURES
    actor: str | None = None
    feature: FeatureKey | None = None
    pipeline: str | None = None
    type: EventType | AuditType | None = None
    #: From this time on, and before that one.
    since_ms: float | None = None
    until_ms: float | None = None

    @property
    def stream(self) -> str:
        return STREAM_NAMES[self.log]

    @property
    def subject(self) -> str:
        if self.log is AuditStream.CATALOGUE:
            return subjects.CATALOG
        if self.log is AuditStream.ACCESS:
            return subjects.AUDIT
        return subjects.feature(self.feature) if self.feature else subjects.FEATURES

    def matches(self, entry: AuditEntry) -> bool:
        """Return whether an entry is wanted; its feature is matched by the subject already."""
        return (
            self.actor in (None, entry.actor_id)
            and self.pipeline in (None, entry.pipeline_id)
            and self.type in (None, entry.type)
            and (self.since_ms is None or entry.time_ms >= self.since_ms)
            and (self.until_ms is None or entry.time_ms < self.until_ms)
        )


class AuditLog:
    """Reads changes from the streams, up to where the console's views have followed them."""

    def __init__(self, connection: Connection, features: FeatureView, catalogue: CatalogueView) -> None:
        self._js = connection.js
        self._features = features
        self._catalogue = catalogue

    async def page(self, query: AuditQuery, before: int | None, limit: int = PAGE_LIMIT) -> AuditPage:
        """Return at most `limit` changes before a revision (None: the newest), newest first.

        New changes do not move later pages.
        """
        found: list[AuditEntry] = []
        end = before - 1 if before else await self._end(query)
        stop = max(0, end - MESSAGES_PER_PAGE_MAX)
        while end > stop:
            start = max(0, end - WINDOW)
            window = [entry async for entry in self._entries(query, start, end)]
            for entry in reversed(window):
                if len(found) == limit:
                    return AuditPage(data=found, next=found[-1].revision)
                found.append(entry)
            end = start
        return AuditPage(data=found, next=end + 1 if end > 0 else None)

    async def export(self, query: AuditQuery) -> AsyncIterator[AuditEntry]:
        """Yield all changes up to now, oldest first."""
        async for entry in self._entries(query, 0, await self._end(query)):
            yield entry

    async def _end(self, query: AuditQuery) -> int:
        if query.log is AuditStream.ACCESS:
            return await self._end_of_stream(query.stream)
        view = self._features if query.log is AuditStream.FEATURES else self._catalogue
        return view.follower.position.sequence

    async def _end_of_stream(self, stream: str) -> int:
        try:
            return (await self._js.stream_info(stream)).state.last_seq
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot read the stream {stream}: {error_text(error)}") from error

    async def _entries(self, query: AuditQuery, after: int, until: int) -> AsyncIterator[AuditEntry]:
        entry_of = ENTRY_OF[query.log]
        async for record in read_records(self._js, query.stream, query.subject, after=after, until=until):
            if (entry := entry_of(record)) and query.matches(entry):
                yield entry


def _event_entry(record: Record) -> AuditEntry | None:
    try:
        event, key = decode_event(record.data), subjects.parse_feature(record.subject)
    except (
        msgspec.DecodeError,
        ValueError,
    ):  # not an event; the consumers have put it among the dead letters
        return None
    trigger = event.feature.trigger
    return AuditEntry(
        revision=record.sequence,
        time_ms=event.time_ms,
        actor_id=event.actor_id,
        vouched_by=event.vouched_by,
        type=event.type,
        about=str(key),
        trigger_id=trigger.id if trigger else None,
        pipeline_id=trigger.pipeline.id if trigger else None,
        phase_id=event.phase_id,
        reason=event.reason,
        overrode=event.overrode,
        left_out=event.left_out,
        alert=event.alert,
        guardrail=event.guardrail,
    )


def _document_entry(record: Record) -> AuditEntry:
    kind, id_ = subjects.parse_catalogue(record.subject)
    headers = record.headers
    return AuditEntry(
        revision=record.sequence,
        time_ms=record.time_ms,
        actor_id=headers.get(envelope.ACTOR, ""),
        vouched_by=headers.get(envelope.VOUCHED_BY),
        type=headers.get(envelope.CE_TYPE, "").removeprefix("sluiceway."),
        about=f"{kind}.{id_}",
        pipeline_id=id_ if kind == "pipeline" else None,
        reason=headers.get(envelope.WHY) or None,
    )


def _access_entry(record: Record) -> AuditEntry | None:
    try:
        stored = AuditRecord.model_validate_json(record.data)
    except ValidationError:  # `sluiceway audit verify` names it
        return None
    return AuditEntry(
        revision=record.sequence,
        time_ms=stored.time_ms,
        actor_id=stored.actor or "",
        vouched_by=stored.vouched_by,
        type=stored.type,
        about=stored.about,
        reason=stored.reason or None,
        address=stored.address,
    )


ENTRY_OF: Mapping[AuditStream, Callable[[Record], AuditEntry | None]] = {
    AuditStream.FEATURES: _event_entry,
    AuditStream.CATALOGUE: _document_entry,
    AuditStream.ACCESS: _access_entry,
}
