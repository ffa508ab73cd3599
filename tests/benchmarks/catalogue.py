"""Writes a catalogue in one go, by the project's own code but without a scheduler."""

import asyncio
from collections.abc import Iterable

from sluiceway.clock import now_ms
from sluiceway.contracts.commands import SaveEnvironment, SavePipeline, SaveRegion
from sluiceway.messaging.catalogue_store import CatalogueStore
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.streams import declare
from sluiceway.pipelines.catalogue_decisions import CatalogueDocument, document_of
from sluiceway.pipelines.decision import Catalogue

Save = SaveEnvironment | SavePipeline | SaveRegion


async def write_catalogue(connection: Connection, commands: Iterable[Save]) -> None:
    """Declare the streams, and store the documents of `commands`; none of them may exist."""
    await declare(connection.js, 1)
    store, time_ms = CatalogueStore(connection, "/bench"), now_ms()

    async def put(command: Save) -> None:
        kind, id_ = document_of(command, Catalogue())
        await store.put(kind, id_, _document(command), 0, None, command=command, now_ms=time_ms)

    await asyncio.gather(*map(put, commands))


def _document(command: Save) -> CatalogueDocument:
    match command:
        case SaveEnvironment():
            return command.environment
        case SavePipeline():
            return command.pipeline
        case SaveRegion():
            return command.region
