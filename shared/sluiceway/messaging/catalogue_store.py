"""Environments, regions, pipelines, freezes and keys of both kinds: small documents in the bucket CATALOG."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from ..contracts import envelope, subjects
from ..contracts.catalogue import Environment, Region, SdkKey
from ..contracts.commands import Command
from ..contracts.freeze import Freeze
from ..contracts.identity import ApiKey
from ..contracts.pipeline import Pipeline
from ..pipelines.catalogue_decisions import CatalogueDocument
from ..pipelines.decision import Catalogue
from .connection import Connection
from .publishing import DELETION, ConditionalMessage, StreamPublisher
from .stream_follower import Follower, Record, StreamView

log = logging.getLogger(__name__)

Model = TypeVar("Model", Environment, Region, Pipeline, SdkKey, ApiKey, Freeze)
MODELS: Mapping[str, type[CatalogueDocument]] = {
    "environment": Environment,
    "region": Region,
    "pipeline": Pipeline,
    "key": SdkKey,
    "api_key": ApiKey,
    "freeze": Freeze,
}


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document, its sequence in CATALOG, and who wrote it when."""

    document: CatalogueDocument
    revision: int
    #: Empty where an older version wrote it.
    creator: str
    created_ms: int
    modifier: str
    modified_ms: int


@dataclass(slots=True)
class _Held:
    documents: dict[tuple[str, str], StoredDocument] = field(default_factory=dict)
    #: The last sequence of every key, deleted ones included.
    tails: dict[tuple[str, str], int] = field(default_factory=dict)


class CatalogueView(StreamView):
    """Follows CATALOG while the block runs. `on_change` gets kind, id and what stands there now."""

    def __init__(self, connection: Connection) -> None:
        self._held = _Held()
        self.on_change: Callable[[str, str, StoredDocument | None], None] = lambda kind, id_, stored: None
        self.follower = Follower(
            connection,
            subjects.CATALOG_STREAM,
            [subjects.CATALOG],
            self._on_record,
            on_reset=self._reset,
        )

    def get(self, kind: str, id_: str) -> StoredDocument | None:
        return self._held.documents.get((kind, id_))

    def tail(self, kind: str, id_: str) -> int:
        """Return the last sequence of a key, 0 where it never was written."""
        return self._held.tails.get((kind, id_), 0)

    def all(self, kind: str) -> list[StoredDocument]:
        """Return the documents of a kind, one of `MODELS`."""
        return [stored for key, stored in self._held.documents.items() if key[0] == kind]

    def catalogue(self) -> Catalogue:
        """Return all documents as a decision takes them."""
        return Catalogue(
            environments=self._by_id("environment", Environment),
            regions=self._by_id("region", Region),
            pipelines=self._by_id("pipeline", Pipeline),
            keys=self._by_id("key", SdkKey),
            api_keys=self._by_id("api_key", ApiKey),
            freezes=self._by_id("freeze", Freeze),
        )

    def _by_id(self, kind: str, model: type[Model]) -> dict[str, Model]:
        return {
            id_: stored.document
            for (kind_, id_), stored in self._held.documents.items()
            if kind_ == kind and isinstance(stored.document, model)
        }

    def _reset(self) -> None:
        self._held.documents.clear()
        self._held.tails.clear()

    def _on_record(self, record: Record) -> None:
        place = subjects.parse_catalogue(record.subject)
        stored = None if record.is_deletion else _parse(record, place[0])
        self._held.tails[place] = record.sequence
        if stored is None and not record.is_deletion:
            return
        if stored:
            self._held.documents[place] = stored
        else:
            self._held.documents.pop(place, None)
        self.on_change(*place, stored)


class CatalogueStore:
    """Writes CATALOG, conditionally, with who and why in the headers."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._publisher = StreamPublisher(connection, subjects.CATALOG_STREAM)
        self._source = source

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
    ) -> int:
        """Store a document behind the sequence `expected` of its key; return the new sequence.

        `known` is what stands there: its creator stays the creator.
        """
        creator, created_ms = (known.creator, known.created_ms) if known else (command.actor, now_ms)
        headers = {
            envelope.CREATOR: envelope.header_safe(creator),
            envelope.CREATED: str(created_ms),
        }
        return await self._write(kind, id_, document.to_json(), headers, expected, command, now_ms)

    async def delete(self, kind: str, id_: str, expected: int, *, command: Command, now_ms: int) -> int:
        """Mark a document as deleted."""
        return await self._write(kind, id_, b"", DELETION, expected, command, now_ms)

    async def _write(
        self,
        kind: str,
        id_: str,
        data: bytes,
        more: dict[str, str],
        expected: int,
        command: Command,
        now_ms: int,
    ) -> int:
        headers = {
            **envelope.cloud_event(
                f"sluiceway.{command.verb}", id_=command.id, time_ms=now_ms, source=self._source
            ),
            envelope.ACTOR: envelope.header_safe(command.actor),
            envelope.WHY: envelope.header_safe(command.reason or ""),
            **more,
        }
        if command.identity:
            headers[envelope.VOUCHED_BY] = command.identity.vouched_by
        return await self._publisher.append(
            ConditionalMessage(subjects.catalogue(kind, id_), data, headers, expected)
        )


def _parse(record: Record, kind: str) -> StoredDocument | None:
    model = MODELS.get(kind)
    try:
        if model is None:
            raise ValueError(f"there is no kind {kind}")
        headers = record.headers
        return StoredDocument(
            document=model.model_validate_json(record.data, extra="ignore"),
            revision=record.sequence,
            creator=headers.get(envelope.CREATOR, ""),
            created_ms=int(headers.get(envelope.CREATED, record.time_ms)),
            modifier=headers.get(envelope.ACTOR, ""),
            modified_ms=record.time_ms,
        )
    except (ValidationError, ValueError) as error:
        log.warning("%s holds no %s, what was there before stays: %s", record.subject, kind, error)
        return None
