"""Brokers with the configurations for production that `sluiceway broker-config` writes, on loopback."""

import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.console.app import Console
from services.console.settings import Settings as ConsoleSettings
from services.evaluator_publisher.app import EvaluatorPublisher
from services.local.broker import EmbeddedBroker
from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings as SchedulerSettings
from sluiceway.messaging.connection import connected
from sluiceway.service import Service
from sluiceway.settings import BrokerSettings, ServiceSettings

from .catalogues import REGIONS
from .cli.calls import Call, Cli
from .http import http_client
from .secured import ROOT, Vouched
from .waiting import eventually

NOWHERE = "nats://127.0.0.1:1"
PERSON = "3f9a11c2"
PAGER = "pager"
NAMES = (*(f"--region={name}" for name in REGIONS), "--key", PERSON, "--alert-source", PAGER)
#: Three servers on two busy cores elect their first leader within seconds.
CLUSTER_SECONDS = 30.0


class ProductionBroker(EmbeddedBroker):
    """A broker with such a configuration, and with an environment of its own."""

    def __init__(self, folder: Path, config: Path, environment: Mapping[str, str]) -> None:
        super().__init__(folder, config=config)
        self._folder = folder
        self.environment = environment

    def start(self) -> None:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.environment.items():
                patched.setenv(name, value)
            super().start()

    async def monitored(self, page: str) -> dict[str, Any]:
        """Return what a page for monitoring says, for example `varz`."""
        (file,) = (self._folder / "ports").iterdir()
        (url,) = json.loads(file.read_text())["monitoring"]
        async with http_client(base_url=url) as http:
            found: dict[str, Any] = (await http.get(f"/{page}")).json()
        return found


@dataclass(frozen=True)
class Production:
    """Running brokers, one or a cluster, and the secrets of those who connect."""

    brokers: tuple[ProductionBroker, ...]
    secrets: Path

    def settings(self, user: str) -> dict[str, Any]:
        """Return the settings with which a user connects."""
        return {
            "nats_url": ",".join(broker.url for broker in self.brokers),
            "nats_ca": self.secrets / "ca.pem",
            "nats_nkey": self.secrets / f"{user}.nk",
        }

    def services(self, folder: Path) -> tuple[Service, ...]:
        """Return every service but the edge, each as its own user."""
        scheduler = self.settings("scheduler")
        console = ConsoleSettings(bootstrap_key_file=folder / "console.key", **self.settings("console"))
        return (
            Scheduler(SchedulerSettings(require_identity=True, region_accounts=True, **scheduler)),
            EvaluatorPublisher(ServiceSettings(**self.settings("evaluator_publisher"))),
            Monitor(MonitorSettings(**self.settings("monitor"))),
            Console(console),
        )

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Vouched]:
        """Connect as the console does, for an administrator."""
        settings = BrokerSettings(principal="console", **self.settings("console"))
        async with connected(settings, "tests") as connection:
            yield Vouched(connection, ROOT)


async def write_config(folder: Path, *options: str, names: Sequence[str] = NAMES) -> Call:
    """Write `broker.conf` and the secrets of a broker for production into a folder."""
    files = ("--secrets", str(folder / "secrets"), "--output", str(folder / "broker.conf"))
    call = await Cli(NOWHERE)("broker-config", *names, "--tls", *files, *options)
    assert call.code == 0, call
    return call


async def leaf_broker(folder: Path, hub: Production, **environment: str) -> ProductionBroker:
    """Return the leaf node of the region dev, with secrets of its own but for what it has from the hub."""
    (host,) = loopback_hosts()
    hubs = [f"--hub=tls://{broker.environment['LISTEN_HOST']}" for broker in hub.brokers]
    await write_config(folder, "--leaf=dev", *hubs, names=())
    given = {
        "HUB_CA": str(hub.secrets / "ca.pem"),
        "HUB_SEED": seed_of(hub.secrets, "leaf-dev"),
        **environment,
    }
    return ProductionBroker(folder / "leaf", folder / "broker.conf", broker_environment(folder, host) | given)


def seed_of(secrets: Path, user: str) -> str:
    """Return the seed of a user."""
    return (secrets / f"{user}.nk").read_text()


def broker_environment(folder: Path, host: str) -> dict[str, str]:
    """Return the environment of nats-server for what `write_config` wrote.

    Clients connect to any free port of 127.0.0.1; brokers to each other at the ports of the file on `host`.
    """
    secrets = folder / "secrets"
    return {
        "LISTEN_HOST": host,
        "SERVER_NAME": f"nats-{host}",
        "STORE_DIR": str(folder / f"streams-{host}"),
        "MAX_FILE_STORE": "4GB",
        "TLS_CERT": str(secrets / "server.pem"),
        "TLS_KEY": str(secrets / "server-key.pem"),
        "TLS_CA": str(secrets / "ca.pem"),
    }


def loopback_hosts(count: int = 1) -> list[str]:
    """Return addresses of this host that nobody else uses, most probably."""
    network = ".".join(["127", *(str(random.randint(1, 254)) for _ in range(2))])
    return [f"{network}.{number}" for number in range(1, count + 1)]


@contextmanager
def production(folder: Path, hosts: Sequence[str] = ()) -> Iterator[Production]:
    """Run a broker on each of these hosts, with what `write_config` wrote."""
    with ExitStack() as stack:
        brokers = [
            ProductionBroker(
                folder / f"broker-{host}", folder / "broker.conf", broker_environment(folder, host)
            )
            for host in hosts or loopback_hosts()
        ]
        for broker in brokers:
            stack.enter_context(broker)
        yield Production(tuple(brokers), folder / "secrets")


async def is_one_cluster(running: Production) -> None:
    """Wait until the brokers have a leader that hears all of them."""

    async def is_led() -> bool:
        for broker in running.brokers:
            meta = (await broker.monitored("jsz"))["meta_cluster"]
            others = meta.get("replicas") or ()
            if len(others) == len(running.brokers) - 1 and all(other["current"] for other in others):
                return True
        return False

    await eventually(is_led, "the brokers are one cluster", CLUSTER_SECONDS)
