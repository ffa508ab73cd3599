"""Builds an edge and wires its adapters."""

import asyncio
from contextlib import AsyncExitStack

from sluiceway.client.client import RegionClient, RegionRules
from sluiceway.contracts.applied import AppliedChange
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.following import Record
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
        self._keep_what_is_rejected(DeadLetters(connection, self.name))
        client = RegionClient(connection, self.rules, instance=self.instance)
        await stack.enter_async_context(client)
        await client.caught_up()

    async def readiness(self) -> dict[str, str]:
        """Return what is not ready: an edge is ready as soon as it has rules, from wherever."""
        return {} if len(self.rules) else self.missing

    def _keep_what_is_rejected(self, dead_letters: DeadLetters) -> None:
        keeping: set[asyncio.Task[None]] = set()

        def keep(record: Record, reason: str) -> None:
            task = asyncio.create_task(dead_letters.keep(record.subject, record.data, reason, "invalid"))
            keeping.add(task)
            task.add_done_callback(keeping.discard)

        self.rules.on_rejected = keep

    def _count(self, change: AppliedChange) -> None:
        metrics.PROPAGATION_SECONDS.labels(self.rules.region).observe(change.after_ms / 1_000)
