"""Environments, regions, pipelines, freezes and keys of both kinds: small documents in the bucket CATALOG."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from pydantic import ValidationError

from ..contracts import envelope, subjects
from ..contracts.alert_sources import AlertSource
from ..contracts.catalogue import Environment, Region, SdkKey
from ..contracts.commands import Command, IdempotencyKey, derived_id
from ..contracts.freeze import Freeze
from ..contracts.identity import ApiKey
from ..contracts.pipeline import Pipeline
from ..contracts.revisions import NOTHING_STORED, RevisionTag, revision_tag, sequence_of
from ..pipelines.catalogue_decisions import CatalogueDocument
from ..pipelines.decision import Catalogue
from ..telemetry import metrics
from .applied_commands import AppliedCommands
from .connection import Connection
from .publishing import DELETION, ConditionalMessage, StreamPublisher
from .stream_follower import Follower
from .stream_records import Record
from .stream_view import StreamView

log = logging.getLogger(__name__)

Model = TypeVar("Model", Environment, Region, Pipeline, SdkKey, ApiKey, Freeze, AlertSource)
MODELS: Mapping[str, type[CatalogueDocument]] = {
    "environment": Environment,
    "region": Region,
    "pipeline": Pipeline,
    "key": SdkKey,
    "api_key": ApiKey,
    "freeze": Freeze,
    "alert_source": AlertSource,
}


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document, its sequence in CATALOG, and who wrote it when."""

    document: CatalogueDocument
    revision: int
    #: Empty if an older version of Sluiceway wrote it.
    creator: str
    created_ms: int
    modifier: str
    modified_ms: int
    #: The id of the event that wrote it.
    event_id: str = ""
    #: The command that wrote it, as `IdempotencyKey.scoped_id`; older versions stored the sender's id.
    command: str = ""

    @property
    def revision_tag(self) -> RevisionTag:
        """The tag of this state of the document."""
        return revision_tag(self.revision, self.event_id)

    def was_written_by(self, key: IdempotencyKey) -> bool:
        """Return whether the command with this key wrote it."""
        return key.is_among((self.command,))


class CatalogueView(StreamView):
    """Follows CATALOG while the block runs.

    `on_change` is called with kind, id and the new document, or None if it was deleted; `on_reset` if the
    catalogue went back, so that all documents are void.
    """

    def __init__(self, connection: Connection) -> None:
        #: By kind, then by id.
        self._documents: dict[str, dict[str, StoredDocument]] = {kind: {} for kind in MODELS}
        #: The last sequence of every key, including deleted ones.
        self._last_sequences: dict[tuple[str, str], int] = {}
        #: All documents as they are now, for every decision until one of them changes.
        self._catalogue: Catalogue | None = None
        #: The commands that led to what was followed.
        self.applied = AppliedCommands()
        self.on_change: Callable[[str, str, StoredDocument | None], None] = lambda kind, id_, stored: None
        self.on_reset: Callable[[], None] = lambda: None
        self.follower = Follower(
            connection,
            subjects.CATALOG_STREAM,
            [subjects.CATALOG],
            self._on_record,
            on_reset=self._reset,
        )

    def get(self, kind: str, id_: str) -> StoredDocument | None:
        """Return a document; None if there is none."""
        return self._documents.get(kind, {}).get(id_)

    def api_key(self, id_: str) -> ApiKey | None:
        """Return a key for the console, also an expired one; None if there is none."""
        stored = self.get("api_key", id_)
        return stored.document if stored and isinstance(stored.document, ApiKey) else None

    def api_key_ids(self) -> Collection[str]:
        """Return the id of every key for the console, also of expired ones."""
        return self._documents["api_key"].keys()

    def revision_tag(self, kind: str, id_: str) -> RevisionTag:
        """Return the tag of a document's state; `NOTHING_STORED` if there is none."""
        stored = self.get(kind, id_)
        return stored.revision_tag if stored else NOTHING_STORED

    def last_sequence(self, kind: str, id_: str) -> int:
        """Return the sequence that the next write must expect; 0 if the key was never written."""
        return self._last_sequences.get((kind, id_), 0)

    def has_applied(self, kind: str, id_: str, key: IdempotencyKey) -> bool:
        """Return whether a command with this key has led to a state of a document, the newest or another."""
        return self.applied.has(subjects.catalogue(kind, id_), key)

    def all(self, kind: str) -> list[StoredDocument]:
        """Return the documents of a kind, one of `MODELS`."""
        return list(self._documents[kind].values())

    def catalogue(self) -> Catalogue:
        """Return all documents, for a decision: the same ones until something changes."""
        if self._catalogue is None:
            self._catalogue = Catalogue(
                environments=self._by_id("environment", Environment),
                regions=self._by_id("region", Region),
                pipelines=self._by_id("pipeline", Pipeline),
                keys=self._by_id("key", SdkKey),
                api_keys=self._by_id("api_key", ApiKey),
                freezes=self._by_id("freeze", Freeze),
                alert_sources=self._by_id("alert_source", AlertSource),
            )
        return self._catalogue

    def _by_id(self, kind: str, model: type[Model]) -> dict[str, Model]:
        return {
            id_: stored.document
            for id_, stored in self._documents[kind].items()
            if isinstance(stored.document, model)
        }

    def _reset(self) -> None:
        for documents in self._documents.values():
            documents.clear()
        self._last_sequences.clear()
        self.applied.clear()
        self._catalogue = None
        self.on_reset()

    def _on_record(self, record: Record) -> None:
        self.applied.add(record)
        key = subjects.parse_catalogue(record.subject)
        stored = None if record.is_deletion else _parse(record, key[0])
        self._last_sequences[key] = record.sequence
        if stored is None and not record.is_deletion:
            return
        kind, id_ = key
        if stored:
            self._documents[kind][id_] = stored
        else:
            self._documents.get(kind, {}).pop(id_, None)
        self._catalogue = None
        self.on_change(kind, id_, stored)


class StoredRevision(NamedTuple):
    """The sequence of a document in CATALOG, the tag of its state, and the bytes of it."""

    sequence: int
    tag: RevisionTag
    size: int


class CatalogueStore:
    """Writes to CATALOG, conditionally; the headers say who did it and why."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._publisher = StreamPublisher(connection, subjects.CATALOG_STREAM)
        self._source = source

    @property
    def message_bytes_max(self) -> int:
        """The bytes of a message, headers included, that the broker takes."""
        return self._publisher.message_bytes_max

    async def put(
        self,
        kind: str,
        id_: str,
        document: CatalogueDocument,
        expected: int,
        known: StoredDocument | None,
        *,
        command: Command,
        now_ms: int,
    ) -> StoredRevision:
        """Store a document after the sequence `expected` of its key; return where it is.

        `known` is the document before it, whose creator stays the creator.
        """
        creator, created_ms = (known.creator, known.created_ms) if known else (command.actor, now_ms)
        headers = {
            envelope.CREATOR: envelope.header_safe(creator),
            envelope.CREATED: str(created_ms),
        }
        return await self._write(kind, id_, document.to_json(), headers, expected, command, now_ms)

    async def delete(
        self, kind: str, id_: str, expected: int, *, command: Command, now_ms: int
    ) -> StoredRevision:
        """Mark a document as deleted; return where the mark is."""
        return await self._write(kind, id_, b"", DELETION, expected, command, now_ms)

    async def _write(
        self,
        kind: str,
        id_: str,
        data: bytes,
        extra_headers: dict[str, str],
        expected: int,
        command: Command,
        now_ms: int,
    ) -> StoredRevision:
        subject, scoped_id = subjects.catalogue(kind, id_), command.idempotency_key.scoped_id
        event_id = derived_id("event", scoped_id, subject, expected)
        headers = {
            **envelope.cloud_event(
                f"sluiceway.{command.verb}", id_=event_id, time_ms=now_ms, source=self._source
            ),
            envelope.COMMAND: scoped_id,
            envelope.ACTOR: envelope.header_safe(command.actor),
            envelope.WHY: envelope.header_safe(command.reason or ""),
            **extra_headers,
        }
        if command.identity:
            headers[envelope.VOUCHED_BY] = command.identity.vouched_by
        sequence = await self._publisher.append(ConditionalMessage(subject, data, headers, expected))
        return StoredRevision(sequence, revision_tag(sequence, event_id), len(data))


async def read_earlier(
    js: JetStreamContext, kind: str, id_: str, revision: RevisionTag
) -> CatalogueDocument | None:
    """Return a document as it was at a revision; None if that is not stored any more."""
    try:
        message = await js.get_msg(subjects.CATALOG_STREAM, seq=sequence_of(revision), direct=True)
    except (NatsError, TimeoutError):
        return None
    sequence, headers = message.seq or 0, message.headers or {}
    record = Record(message.subject or "", sequence, 0, message.data or b"", headers)
    if record.is_deletion or record.subject != subjects.catalogue(kind, id_):
        return None
    stored = _parse(record, kind)
    return stored.document if stored and stored.revision_tag == revision else None


def _parse(record: Record, kind: str) -> StoredDocument | None:
    model = MODELS.get(kind)
    try:
        if model is None:
            raise ValueError(f"unknown kind {kind!r}")
        headers = record.headers
        event_id = headers.get(envelope.CE_ID, "")
        return StoredDocument(
            document=model.model_validate_json(record.data, extra="ignore"),
            revision=record.sequence,
            creator=headers.get(envelope.CREATOR, ""),
            created_ms=int(headers.get(envelope.CREATED, record.time_ms)),
            modifier=headers.get(envelope.ACTOR, ""),
            modified_ms=record.time_ms,
            event_id=event_id,
            command=headers.get(envelope.COMMAND, event_id),
        )
    except (ValidationError, ValueError) as error:
        metrics.INVALID_RECORDS.labels(subjects.CATALOG_STREAM).inc()
        log.warning("%s: invalid %s, keeping the previous version: %s", record.subject, kind, error)
        return None
