"""A region that gets its account while everything runs.

nats-server 2.15 takes the imports of an account that a reload has added only at the next reload. Until then
nothing is copied into it, and its edges report nothing.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from services.edge.app import Edge
from services.edge.settings import Settings as EdgeSettings
from sluiceway.contracts.commands import SaveRegion
from tests.support.broker_forms import Production, production, write_config
from tests.support.catalogues import apply_catalogue, phase
from tests.support.waiting import eventually

from .test_broker_reload import reload

HOUR = 3_600_000
READY_SECONDS = 60.0


async def test_a_region_gets_its_rules_in_an_account_that_two_reloads_have_added(tmp_path: Path) -> None:
    await write_config(tmp_path, names=("--region=dev", "--region=staging"))
    with production(tmp_path) as running:
        async with AsyncExitStack() as stack:
            for service in running.services(tmp_path):
                await stack.enter_async_context(service)
            admin = await stack.enter_async_context(running.admin())
            await apply_catalogue(admin, phase("dev", review=True, bake_ms=HOUR))
            await write_config(tmp_path, names=("--region=dev", "--region=staging", "--region=asia"))
            for _ in range(2):
                await reloaded(running)
            await admin.saved(SaveRegion, region={"name": "asia", "environment": "development"})
            edge = Edge(EdgeSettings(region="asia", snapshot_dir=tmp_path, **running.settings("edge-asia")))
            async with asyncio.timeout(READY_SECONDS):
                await stack.enter_async_context(edge)

            assert await edge.readiness() == {}


async def reloaded(running: Production) -> None:
    """Have the broker reload its configuration, and return once it has."""
    line, log = "Reloaded server configuration", running.brokers[0].log
    before = log.read_text().count(line)
    reload(running)
    await eventually(lambda: log.read_text().count(line) > before, "it was reloaded")
