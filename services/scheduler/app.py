"""Builds the scheduler and wires its adapters."""

from contextlib import AsyncExitStack
from functools import partial

from sluiceway.clock import Clock, now_ms
from sluiceway.contracts.commands import (
    AbortTrigger,
    Command,
    PauseTrigger,
    RevokeKey,
    RollBackTrigger,
    SaveFeature,
)
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.replies import Reply
from sluiceway.messaging.audit_trail import AuditTrail
from sluiceway.messaging.broker_clock import BrokerClock
from sluiceway.messaging.catalogue_store import CatalogueStore, CatalogueView
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.feature_indexes import StatusCounts
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.region_documents import RegionDocuments
from sluiceway.messaging.rules_declaration import RulesDeclaration
from sluiceway.messaging.rules_reads import RulesReads
from sluiceway.messaging.streams import (
    DAY_SECONDS,
    AuditRetention,
    declare,
    recreate_probes,
    rules_config,
)
from sluiceway.service import Service, background_task

from . import metrics
from .audited_commands import audited, refusal_recorder
from .authentication import Authenticator
from .clearance_client import ClearanceClient
from .command_handlers import CommandHandlers
from .command_intake import CommandIntake, Handle
from .command_processor import CommandProcessor
from .confirmations import Confirmations
from .earlier_commands import remember_earlier_commands
from .phase_deadlines import PhaseDeadlines
from .published_rules import RulesReader
from .queries import with_queries
from .region_accounts import RegionAccounts
from .region_leaves import RegionLeaves
from .region_reports import RegionReports
from .rules_regions import RulesRegions
from .settings import Settings
from .side_thread import SideThread
from .storage_budget import StorageBudget, within_budget

SOURCE = "/sluiceway/scheduler"
#: These commands only take something back, or keep it from going on, whatever the time is.
TAKING_BACK = (AbortTrigger, PauseTrigger, RollBackTrigger, RevokeKey)


class Scheduler(Service):
    """The running scheduler."""

    name = "scheduler"

    def __init__(self, settings: Settings, host_clock: Clock = now_ms) -> None:
        super().__init__(settings, host_clock)
        self._settings = settings
        self._rules_regions: RulesRegions | None = None

    async def readiness(self) -> dict[str, str]:
        """Return what is not ready: also that rules reach no region, since a stream is missing or damaged."""
        missing = await super().readiness()
        if self._rules_regions and (problem := self._rules_regions.problem):
            missing = {**missing, "rules": problem}
        return missing

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Declare the streams, read the log, run the deadlines, then answer commands."""
        self.missing = {"streams": "not declared yet"}
        audit = AuditRetention(self._settings.audit_days * DAY_SECONDS, self._settings.audit_bytes)
        wanted = self._settings.rules_streams
        replicas = await declare(
            connection.js, self._settings.stream_replicas, self._record_undeclared, audit, wanted
        )
        connection.writes.recreate_probes = partial(recreate_probes, connection.js, replicas)
        clock = await self.broker_clock(connection, stack)
        trail = await stack.enter_async_context(AuditTrail(connection, self.name, clock))
        feature_log = FeatureLog(connection, SOURCE)
        catalogue = CatalogueView(connection)
        dead_letters = DeadLetters(connection, self.name)
        features = DecisionView(connection, feature_log)
        features.on_invalid = dead_letters.store_soon
        _count_active(features.with_index(StatusCounts()))
        reports = await stack.enter_async_context(RegionReports(connection))
        confirmations = Confirmations(reports, clock)
        rules = RulesReader(RulesReads(connection), catalogue)
        clearance = ClearanceClient(connection, rules, confirmations)
        side_thread = SideThread()
        stack.callback(side_thread.close)
        budget = StorageBudget()
        processor = CommandProcessor(feature_log, features, catalogue, clock, side_thread, budget.charge)
        workers = self._settings.ticker_workers
        deadlines = PhaseDeadlines(processor, features, clearance, clock, workers, clock.is_trusted)
        features.on_change, features.on_reset = deadlines.schedule, deadlines.reset
        for name, view in (("log", features), ("catalogue", catalogue)):
            await self.follow(name, view, stack)
        await stack.enter_async_context(background_task(deadlines.run(), "phase deadlines"))
        await self._keep_regions(connection, catalogue, replicas, stack)
        self.missing = {"commands": "those of the last minute are not read yet"}
        await remember_earlier_commands(connection.js, features, catalogue, clock)
        store = CatalogueStore(connection, SOURCE)
        handlers = CommandHandlers(
            processor, features, catalogue, store, connection.js, clock, side_thread, budget.charge
        )
        authenticator = Authenticator(catalogue, clock, required=self._settings.require_identity)
        handle = within_budget(audited(_by_trusted_clock(handlers.handle, clock), trail, clock), budget)
        handle = with_queries(handle, lambda query: processor.newest(query.key))
        # A connection of its own, on which nothing else waits behind commands.
        commands = await stack.enter_async_context(connected(self._settings, "scheduler-commands"))
        await self.watch_client("commands", commands.client, stack)
        intake = CommandIntake(
            commands.client,
            authenticator,
            handle,
            dead_letters,
            self._settings.command_workers,
            catalogue.api_key_ids,
            side_thread,
            refusal_recorder(trail, clock),
        )
        await stack.enter_async_context(intake.running())

    async def _keep_regions(
        self, connection: Connection, catalogue: CatalogueView, replicas: int, stack: AsyncExitStack
    ) -> None:
        """Keep what a region needs at the broker: its place in the streams of rules, and its copies."""
        self._rules_regions = RulesRegions(RulesDeclaration(connection.js, rules_config(replicas)), catalogue)
        keepers: list[RulesRegions | RegionAccounts | RegionLeaves] = [self._rules_regions]
        if self._settings.region_accounts:
            documents = RegionDocuments(connection)
            await self.follow("regions", documents, stack)
            keepers.append(RegionAccounts(connection, catalogue, documents, replicas))
            keepers.append(RegionLeaves(connection, catalogue))

        def wake(kind: str = "region", *_document: object) -> None:
            for keeper in keepers:
                keeper.wake(kind)

        catalogue.on_change = catalogue.on_reset = wake
        for keeper in keepers:
            await stack.enter_async_context(background_task(keeper.run(), keeper.name))

    def _record_undeclared(self, reason: str) -> None:
        self.missing = {"streams": f"not declared yet: {reason}"}


def _by_trusted_clock(handle: Handle, clock: BrokerClock) -> Handle:
    """Return `handle` for as long as the clock is trusted; only what takes something back is never refused.

    No time decides whether something may be taken back.
    """

    async def checked(command: Command) -> Reply:
        if not _takes_back(command):
            clock.check()
        return await handle(command)

    return checked


def _takes_back(command: Command) -> bool:
    """Return whether a command switches something off, whatever else it changes."""
    if isinstance(command, SaveFeature):
        return not command.feature.is_enabled
    return isinstance(command, TAKING_BACK)


def _count_active(counts: StatusCounts) -> None:
    for status in TriggerStatus:
        if status.is_active:
            metrics.ACTIVE_TRIGGERS.labels(status).set_function(partial(counts.__getitem__, status))
