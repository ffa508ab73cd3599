"""Builds an edge and wires its adapters."""

from contextlib import AsyncExitStack

from sluiceway.client.client import RegionClient, RegionRules
from sluiceway.contracts.applied import AppliedChange
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.service import Service
from sluiceway.telemetry import metrics

from .settings import Settings


class Edge(Service):
    """The running edge of one region."""

    name = "edge"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.instance = settings.instance
        self.rules = RegionRules(settings.region, settings.snapshot_dir / settings.instance)
        self.rules.on_applied = self._count
        metrics.FEATURES_HELD.labels(settings.region).set_function(lambda: len(self.rules))
        metrics.APPLIED_REVISION.labels(settings.region).set_function(lambda: self.rules.position.sequence)

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Follow the region."""
        self.missing = {"rules": "nothing heard of RULES yet; is a scheduler running?"}
        stack.callback(self.rules.close)
        self.rules.on_rejected = DeadLetters(connection, self.name).keep_soon
        client = RegionClient(connection, self.rules, instance=self.instance)
        await stack.enter_async_context(client)
        await client.caught_up()

    async def readiness(self) -> dict[str, str]:
        """Return what is not ready: an edge is ready as soon as it has rules, from wherever."""
        return {} if len(self.rules) else self.missing

    def _count(self, change: AppliedChange) -> None:
        metrics.PROPAGATION_SECONDS.labels(self.rules.region).observe(change.after_ms / 1_000)
