"""The configurations for production: every service works with them, and a release reaches a region."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import ApprovePhase
from tests.support.broker_forms import (
    Production,
    is_one_cluster,
    loopback_hosts,
    production,
    write_config,
)
from tests.support.catalogues import apply_catalogue, phase
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

HOUR = 3_600_000
TRIGGER = "gate.new_checkout.1"
COMPLAINTS = ("permissions violation", "authorization violation")


async def test_every_service_works_on_one_host(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await write_config(tmp_path)
    with production(tmp_path) as running:
        await release(running, tmp_path)

        (broker,) = running.brokers
        server = await broker.monitored("varz")
        assert server["jetstream"]["config"]["sync_always"] is True
        assert server["jetstream"]["config"]["domain"] == "hub"
        assert server["tls_required"] is True
        assert (server["max_payload"], server["max_connections"]) == (1_048_576, 10_000)
    assert not any(complaint in caplog.text.lower() for complaint in COMPLAINTS)


async def test_every_service_works_on_a_cluster(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hosts = loopback_hosts(3)
    await write_config(tmp_path, *(f"--cluster={host}" for host in hosts))
    with production(tmp_path, hosts) as running:
        await is_one_cluster(running)
        await release(running, tmp_path)

        async with running.admin() as admin:
            info = await admin.connection.js.stream_info(subjects.FEATURES_STREAM)
            assert info.config.num_replicas == 3
            assert list(admin.connection.client.discovered_servers) == []  # their names are in no certificate
        for broker in running.brokers:
            server = await broker.monitored("varz")
            assert server["jetstream"]["config"]["sync_always"] is True
    assert not any(complaint in caplog.text.lower() for complaint in COMPLAINTS)


async def release(running: Production, folder: Path) -> None:
    """Run every service, and a release that reaches the edge of the region dev."""
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(service) for service in running.services(folder)]
        admin = await stack.enter_async_context(running.admin())
        await apply_catalogue(admin, phase("dev", review=True, bake_ms=HOUR))
        key = await create_key(admin, region="dev")
        await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
        settings = running.settings("edge-dev")
        edge = running_edge(region="dev", folder=folder / "edge", key=key, **settings)
        async with edge as region:
            await admin.act(ApprovePhase, TRIGGER)
            rules = region.edge.rules
            await eventually(lambda: rules.check_gate({}, "new_checkout"), "it has the candidate")
            assert [await service.readiness() for service in (*services, region.edge)] == [{}] * 5
            for broker in running.brokers:
                connections = (await broker.monitored("connz"))["connections"]
                assert max(connection["subscriptions"] for connection in connections) < 100  # of 10,000
