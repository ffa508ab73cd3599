"""What every route works with: what the console has followed, and the one way to change something."""

from dataclasses import replace
from typing import Any

from sluiceway.clock import now_ms
from sluiceway.contracts.commands import Command, FeatureCommand, TriggerCommand
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.identity import CONSOLE, Identity
from sluiceway.contracts.replies import Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.pipelines.catalogue_decisions import CatalogueDecision, decide_catalogue
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue, Decision

from .audit import AuditLog
from .creators import Creators
from .errors import CommandRefused
from .event_stream import EventStream
from .region_view import RegionsView
from .release_index import ReleaseIndex

SOURCE = "/sluiceway/console"


class ConsoleBackend:
    """Reads from memory, acts by commands. Nothing is decided or stored here."""

    def __init__(self, connection: Connection) -> None:
        self.log = FeatureLog(connection, SOURCE)
        self.features = FeatureView(connection, self.log)
        self.catalogue = CatalogueView(connection)
        self.regions = RegionsView(connection)
        self.changes = EventStream(connection)
        self.features.on_change = self.changes.take_feature
        self.catalogue.on_change = self.changes.take_document
        self.regions.on_change = self.changes.take_region
        self.audit = AuditLog(connection, self.features, self.catalogue)
        self.creators = Creators(self.log, self.features)
        self.releases = ReleaseIndex(connection, self.log, self.features)
        self.measured = MeasurementStore(connection, SOURCE)
        self._commands = CommandClient(connection, CONSOLE)

    def feature(self, key: FeatureKey) -> Feature | None:
        """Return the newest state of a feature."""
        entry = self.features.get(key)
        return entry.event.feature if entry else None

    def documents(self) -> Catalogue:
        """Return the catalogue as a decision takes it, without what features refer to."""
        return self.catalogue.catalogue()

    async def act(self, model: type[Command], caller: Identity, **fields: Any) -> Reply:
        """Do something for the caller; once it returns, what the console reads shows it.

        `CommandRefused` where the scheduler refuses it; `Unavailable` where nobody answers: then the same
        request may be sent again.
        """
        command = model.model_validate({"actor": caller.name, "identity": caller, **fields})
        reply = await self._commands.send(command)
        if reply.refusal:
            raise CommandRefused(reply.refusal)
        await self._see(command)
        return reply

    def preview(self, model: type[Command], caller: Identity, **fields: Any) -> Decision | CatalogueDecision:
        """Return what the scheduler would decide now, by the very functions that it decides with."""
        command = model.model_validate({"actor": caller.name, "identity": caller, **fields})
        catalogue = self.documents()
        if not isinstance(command, TriggerCommand):
            catalogue = replace(catalogue, references=self.features.references())
        if isinstance(command, FeatureCommand):
            return decide(self.feature(command.key), command, now_ms(), catalogue)
        return decide_catalogue(command, catalogue, self.features.usage())

    async def _see(self, command: Command) -> None:
        """Wait until what was just done is seen here, so that the caller reads its own writes."""
        if isinstance(command, FeatureCommand):
            await self.features.reached_end()
        else:
            await self.catalogue.reached_end()


class BackendProvider:
    """Gives the desk, once the console has caught up."""

    def __init__(self) -> None:
        self.backend: ConsoleBackend | None = None

    def __call__(self) -> ConsoleBackend:
        if self.backend is None:
            raise Unavailable("the console has not read the log to its end yet; is a scheduler running?")
        return self.backend
