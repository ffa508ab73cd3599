"""The configurations for production: every service works with them, and nobody does without credentials."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from services.console.app import Console
from services.console.settings import Settings as ConsoleSettings
from services.evaluator_publisher.app import EvaluatorPublisher
from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings as SchedulerSettings
from sluiceway.contracts.commands import ApprovePhase
from sluiceway.messaging.connection import connected
from sluiceway.service import Service
from sluiceway.settings import BrokerSettings, ServiceSettings
from tests.support.broker_forms import HostBroker, host_broker, written_config
from tests.support.catalogues import apply_catalogue, phase
from tests.support.edges import create_key, running_edge
from tests.support.secured import ROOT, Vouched
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

HOUR = 3_600_000
TRIGGER = "gate.new_checkout.1"


async def test_every_service_works_on_one_host_with_tls_and_nkeys(tmp_path: Path) -> None:
    await written_config(tmp_path)
    with host_broker(tmp_path) as host:
        async with AsyncExitStack() as stack:
            services = [await stack.enter_async_context(service) for service in services_of(host, tmp_path)]
            admin = await stack.enter_async_context(console_of(host))
            await apply_catalogue(admin, phase("dev", review=True, bake_ms=HOUR))
            key = await create_key(admin, region="dev")
            await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
            edge_settings: dict[str, Any] = host.settings("edge-dev")
            edge = running_edge(region="dev", folder=tmp_path / "edge", key=key, **edge_settings)
            async with edge as running:
                await admin.act(ApprovePhase, TRIGGER)
                rules = running.edge.rules
                await eventually(lambda: rules.check_gate({}, "new_checkout"), "it has the candidate")
                assert [await service.readiness() for service in (*services, running.edge)] == [{}] * 5


def services_of(host: HostBroker, folder: Path) -> tuple[Service, ...]:
    """Return every service but the edge, each with its own user."""
    scheduler = SchedulerSettings(require_identity=True, region_accounts=True, **host.settings("scheduler"))
    console = ConsoleSettings(bootstrap_key_file=folder / "console.key", **host.settings("console"))
    return (
        Scheduler(scheduler),
        EvaluatorPublisher(ServiceSettings(**host.settings("evaluator_publisher"))),
        Monitor(MonitorSettings(**host.settings("monitor"))),
        Console(console),
    )


@asynccontextmanager
async def console_of(host: HostBroker) -> AsyncIterator[Vouched]:
    """Connect as the console does, for an administrator."""
    settings = BrokerSettings(principal="console", **host.settings("console"))
    async with connected(settings, "tests") as connection:
        yield Vouched(connection, ROOT)
