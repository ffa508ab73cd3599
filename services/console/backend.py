"""What every route works with: views of the streams, and the one way to execute a command."""

from dataclasses import replace

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
from sluiceway.pipelines.approvals import without_lapsed_approvals
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
    """Reads from memory, changes by commands. It decides and stores nothing."""

    def __init__(self, connection: Connection) -> None:
        self.log = FeatureLog(connection, SOURCE)
        self.features = FeatureView(connection, self.log)
        self.catalogue = CatalogueView(connection)
        self.regions = RegionsView(connection)
        self.events = EventStream(connection)
        self.features.on_change = self.events.publish_feature
        self.features.on_reset = self.events.publish_reset
        self.catalogue.on_change = self.events.publish_document
        self.regions.on_change = self.events.publish_region
        self.audit = AuditLog(connection, self.features, self.catalogue)
        self.creators = Creators(self.log, self.features)
        self.releases = ReleaseIndex(connection, self.log, self.features, self.counted)
        self.measurements = MeasurementStore(connection, SOURCE)
        self._commands = CommandClient(connection, CONSOLE)

    def feature(self, key: FeatureKey) -> Feature | None:
        """Return the newest state of a feature, as `counted` returns it."""
        entry = self.features.get(key)
        return self.counted(entry.event.feature) if entry else None

    def counted(self, feature: Feature) -> Feature:
        """Return a feature without the approvals that no longer count."""
        return without_lapsed_approvals(feature, self.catalogue.api_key, now_ms())

    def documents(self) -> Catalogue:
        """Return the catalogue in the form that a decision takes, without the features' references."""
        return self.catalogue.catalogue()

    async def execute(self, command: Command, caller: Identity) -> Reply:
        """Let the scheduler execute a command for `caller`; the console's views show the result then.

        `CommandRefused` if the scheduler refuses it. `Unavailable` if there was no answer: the same
        command may be sent again.
        """
        reply = await self._commands.send(_on_behalf_of(caller, command))
        if reply.refusal:
            raise CommandRefused(reply.refusal)
        await self._wait_until_visible(command)
        return reply

    def preview(self, command: Command, caller: Identity) -> Decision | CatalogueDecision:
        """Return what the scheduler would decide now, by the same functions."""
        command = _on_behalf_of(caller, command)
        catalogue = self.documents()
        if not isinstance(command, TriggerCommand):
            catalogue = replace(catalogue, references=self.features.references())
        if isinstance(command, FeatureCommand):
            return decide(self.feature(command.key), command, now_ms(), catalogue)
        return decide_catalogue(command, catalogue, self.features.usage())

    async def _wait_until_visible(self, command: Command) -> None:
        """Wait until the views show what a command has changed, so that callers read their own writes."""
        if isinstance(command, FeatureCommand):
            await self.features.catch_up()
        else:
            await self.catalogue.catch_up()


class BackendProvider:
    """Provides the backend to requests, as soon as the console has caught up."""

    def __init__(self) -> None:
        self.backend: ConsoleBackend | None = None

    def __call__(self) -> ConsoleBackend:
        """Return the backend; `Unavailable` until the console has caught up."""
        if self.backend is None:
            raise Unavailable("the console has not read the log to its end yet; is a scheduler running?")
        return self.backend


def _on_behalf_of(caller: Identity, command: Command) -> Command:
    """Return the command with `caller` as its actor and identity, whatever it named before."""
    return command.model_copy(update={"actor": caller.name, "identity": caller})
