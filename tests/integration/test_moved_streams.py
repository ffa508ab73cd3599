"""From a laptop to a host for production: what was released stays, in the account of the services."""

from contextlib import AsyncExitStack
from pathlib import Path

from services.local.broker import EmbeddedBroker
from sluiceway.contracts.commands import ApprovePhase
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings
from tests.support.backups import Backup, back_up, restore
from tests.support.broker_forms import production, write_config
from tests.support.catalogues import apply_catalogue, phase
from tests.support.cli.calls import ROOT
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE, driving, services
from tests.support.waiting import eventually

HOUR = 3_600_000
TRIGGER = "gate.new_checkout.1"


async def test_a_release_that_began_on_a_laptop_goes_on_at_a_host(tmp_path: Path) -> None:
    backups = await on_a_laptop(tmp_path)
    await write_config(tmp_path)
    with production(tmp_path) as running:
        by_hand = BrokerSettings(**running.settings("jetstream_admin"))
        async with connected(by_hand, "tests") as connection:
            await restore(connection, backups)
        async with AsyncExitStack() as stack:
            for service in running.services(tmp_path):
                await stack.enter_async_context(service)
            admin = await stack.enter_async_context(running.admin())
            key = await create_key(admin, region="dev")
            settings = running.settings("edge-dev")
            async with running_edge(region="dev", folder=tmp_path / "edge", key=key, **settings) as edge:
                await admin.act(ApprovePhase, TRIGGER)

                await eventually(lambda: edge.edge.rules.check_gate({}, "new_checkout"), "it goes on", 30)
                await admin.reaches(TRIGGER, TriggerStatus.IN_PROGRESS)


async def on_a_laptop(folder: Path) -> list[Backup]:
    """Begin a release on a broker with the configuration for a laptop; return its streams."""
    config = folder / "laptop.conf"
    text = (ROOT / "deploy" / "nats" / "laptop.conf").read_text()
    config.write_text(text.replace("$STORE_DIR", f'"{folder / "laptop"}"'))
    with EmbeddedBroker(folder / "laptop-broker", config=config) as broker:
        async with services(broker.url), driving(broker.url) as driver:
            await apply_catalogue(driver, phase("dev", review=True, bake_ms=HOUR))
            await driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
        async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
            return await back_up(connection)
