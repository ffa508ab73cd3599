"""What every route works with: views of the streams, and the one way to execute a command."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from sluiceway.clock import Clock
from sluiceway.contracts.commands import Command, FeatureCommand, TriggerCommand
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.identity import CONSOLE, Identity
from sluiceway.contracts.replies import Refusal, Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging.audit_trail import AuditTrail
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.feature_edits import FeatureEdit
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.pipelines.approvals import without_lapsed_approvals
from sluiceway.pipelines.catalogue_decisions import CatalogueDecision, decide_catalogue
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue, Decision

from .audit import AuditLog
from .command_executor import CommandExecutor, PipelineEdit, on_behalf_of
from .creators import Creators
from .ended_sessions import EndedSessions
from .event_stream import EventStream
from .feature_lists import FeatureNames, NewestReleases
from .heavy_work import HeavyWork
from .preconditions import ANY_REVISION, Preconditions
from .region_view import RegionsView
from .release_index import ReleaseIndex

SOURCE = "/sluiceway/console"
T = TypeVar("T")


class ConsoleBackend:
    """Reads from memory, changes by commands. It decides and stores nothing."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        #: The broker's time.
        self.clock = clock
        self.log = FeatureLog(connection, SOURCE)
        self.features = DecisionView(connection, self.log)
        self.names = self.features.with_index(FeatureNames())
        self.newest_releases = self.features.with_index(NewestReleases())
        self.catalogue = CatalogueView(connection)
        self.regions = RegionsView(connection, self.features)
        self.events = EventStream(connection)
        self.trail = AuditTrail(connection, CONSOLE, clock)
        self.ended_sessions = EndedSessions(connection, clock)
        self.ended_sessions.on_ended = self.events.check_listeners
        self.features.on_change = self.events.publish_feature
        self.features.on_reset = self.events.publish_reset
        self.catalogue.on_change = self.events.publish_document
        self.regions.on_change = self.events.publish_region
        self.audit = AuditLog(connection, self.features, self.catalogue)
        self.creators = Creators(self.log, self.features)
        self.releases = ReleaseIndex(connection, self.log, self.features, self.newest_releases, self.counted)
        self.measurements = MeasurementStore(connection, SOURCE)
        commands = CommandClient(connection, CONSOLE)
        self._heavy_work = HeavyWork()
        self._executor = CommandExecutor(connection.js, commands, self.log, self.features, self.catalogue)

    def feature(self, key: FeatureKey) -> Feature | None:
        """Return the newest state of a feature, as `counted` returns it."""
        entry = self.features.get(key)
        return self.counted(entry.event.feature) if entry else None

    def counted(self, feature: Feature) -> Feature:
        """Return a feature without the approvals that no longer count."""
        return without_lapsed_approvals(feature, self.catalogue.api_key, self.clock())

    def documents(self) -> Catalogue:
        """Return the catalogue in the form that a decision takes, without the features' references."""
        return self.catalogue.catalogue()

    async def execute(
        self, command: Command, caller: Identity, preconditions: Preconditions = ANY_REVISION
    ) -> Reply:
        """Let the scheduler execute a command for `caller`; the console's views show the result then.

        `CommandRefused` if the scheduler refuses it, or if the preconditions do not hold. `Unavailable` if
        there was no answer: the same command may be sent again.
        """
        return await self._executor.execute(command, caller, preconditions)

    async def edit_feature(
        self, key: FeatureKey, edit: FeatureEdit, caller: Identity, preconditions: Preconditions
    ) -> Reply:
        """Let the scheduler save an edit of the newest state of a feature, as `execute` does."""
        return await self._executor.edit_feature(key, edit, caller, preconditions)

    async def edit_pipeline(
        self, id_: str, edit: PipelineEdit, caller: Identity, preconditions: Preconditions
    ) -> Reply:
        """Let the scheduler save an edit of the newest state of a pipeline, as `execute` does."""
        return await self._executor.edit_pipeline(id_, edit, caller, preconditions)

    async def stale_refusal(self, command: Command) -> Refusal | None:
        """Return the refusal of a command that expects another revision than the newest one; else None.

        The views show the newest one then.
        """
        return await self._executor.stale_refusal(command)

    async def in_thread(self, caller: Identity, function: Callable[[], T], key: Hashable = None) -> T:
        """Return the result of a pure function that may take long, while others are served.

        `key`: what the result depends on; it is remembered then.
        """
        return await self._heavy_work.run(caller.name, function, key)

    async def preview(self, command: Command, caller: Identity) -> Decision | CatalogueDecision:
        """Return what the scheduler would decide now, by the same functions."""
        return await self.in_thread(caller, self._prepared_preview(command, caller))

    def preview_action(self, command: TriggerCommand, caller: Identity) -> Decision | CatalogueDecision:
        """Return the same for an action on a trigger, for which no document has to be looked into."""
        return self._prepared_preview(command, caller)()

    def _prepared_preview(
        self, command: Command, caller: Identity
    ) -> Callable[[], Decision | CatalogueDecision]:
        """Return the decision on the views as they are now, which other threads must not read."""
        command = on_behalf_of(caller, command)
        catalogue = self.documents()
        if not isinstance(command, TriggerCommand):
            catalogue = replace(catalogue, references=self.features.references)
        if isinstance(command, FeatureCommand):
            return partial(decide, self.feature(command.key), command, self.clock(), catalogue)
        return partial(decide_catalogue, command, catalogue, self.features.usage)


class BackendProvider:
    """Provides the backend to requests, as soon as the console has caught up."""

    def __init__(self) -> None:
        self.backend: ConsoleBackend | None = None

    def __call__(self) -> ConsoleBackend:
        """Return the backend; `Unavailable` until the console has caught up."""
        if self.backend is None:
            raise Unavailable("the console has not read the log to its end yet; is a scheduler running?")
        return self.backend

    def trail(self) -> AuditTrail | None:
        """Return where audit events are recorded; None until the console has caught up."""
        return self.backend.trail if self.backend else None

    def now_ms(self) -> int:
        """Return the broker's time; `Unavailable` until the console has caught up."""
        return self().clock()
