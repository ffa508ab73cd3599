"""A region behind a leaf node: a hub with the accounts that we write, a link, and a second broker."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from services.local.broker import HOST, EmbeddedBroker
from sluiceway.cli.broker_accounts import edge_of, leaf_accounts
from sluiceway.contracts import subjects
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import Connection
from tests.support import secured as secured_support
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.links import Link, linked
from tests.support.proxies import free_port
from tests.support.secured import PERSON, Secured, secured_system, write_secured_config
from tests.support.system import EVERYONE, Driver
from tests.support.waiting import eventually

REGION = "dev"
BOUND_SECONDS = 60.0


class LeafSystem(NamedTuple):
    """The services at the hub, and the leaf node of the region dev."""

    secured: Secured
    leaf: EmbeddedBroker
    link: Link
    #: Of the hub, for leaf nodes.
    port: int

    @property
    def edge_url(self) -> str:
        """The address of the leaf node, with the user of the region's edges."""
        return self.leaf.url.replace("nats://", f"nats://{edge_of(REGION)}:edge@")

    @property
    def admin_url(self) -> str:
        """The same, with a user who may do everything there."""
        return self.leaf.url.replace("nats://", "nats://admin:admin@")

    async def scheduler_connection(self) -> Connection:
        """Return a connection to the hub with the scheduler's credentials."""
        return (await self.secured.driver("scheduler", "scheduler")).connection


@asynccontextmanager
async def leaf_system(folder: Path, *, rules_streams: int | None = None) -> AsyncIterator[LeafSystem]:
    """Run a hub with all services but edges, and a leaf node that reaches it through a link."""
    with pytest.MonkeyPatch.context() as patch:
        port = free_port()

        def write_hub(file: Path, people: tuple[str, ...] = (PERSON,), streams: int | None = None) -> None:
            write_secured_config(file, people, streams)
            as_hub(file, port)

        patch.setattr(secured_support, "write_secured_config", write_hub)
        async with (
            secured_system(folder, rules_streams=rules_streams) as secured,
            linked(port) as link,
        ):
            config = folder / "leaf.conf"
            config.write_text(leaf_config(folder / "leaf-streams", link.port))
            with EmbeddedBroker(folder / "leaf", config=config) as leaf:
                yield LeafSystem(secured, leaf, link, port)


def as_hub(file: Path, port: int) -> None:
    """Let leaf nodes connect to a broker with this configuration."""
    hub = (
        f"jetstream {{store_dir: $STORE_DIR, domain: {subjects.HUB_DOMAIN}}}\n"
        f"leafnodes {{listen: '{HOST}:{port}', no_advertise: true}}\n"
    )
    file.write_text(file.read_text().replace("jetstream {store_dir: $STORE_DIR}\n", hub))


def leaf_config(store: Path, port: int, region: str = REGION) -> str:
    """Return the configuration of the leaf node of a region: that of `broker-config`, without TLS."""
    (account,) = leaf_accounts(region)
    (edge,) = account.users
    domain = subjects.leaf_domain(region)
    may = {"publish": edge.publish, "subscribe": edge.subscribe}
    return (
        f"jetstream {{store_dir: {json.dumps(str(store))}, domain: {domain}}}\n"
        f"leafnodes {{reconnect: '200ms', remotes: [{{account: {account.name}, "
        f"url: 'nats://{domain}:{domain}@{HOST}:{port}'}}]}}\n"
        f"accounts {{{account.name} {{jetstream: enabled, mappings: {json.dumps(account.mappings)}, users: ["
        f"{{user: admin, password: admin}}, "
        f"{{user: {edge.name}, password: edge, permissions: {json.dumps(may)}}}]}}}}\n"
    )


@asynccontextmanager
async def edge_behind(system: LeafSystem, folder: Path) -> AsyncIterator[RunningEdge]:
    """Run an edge at the leaf node, once it has the rules of a gate that everybody passes."""
    admin = await system.secured.admin()
    key = await create_key(admin, region=REGION)
    await admin.save_gate("everywhere", EVERYONE)
    async with running_edge(system.edge_url, REGION, folder / "edge", key) as running:
        await has(running, "everywhere")
        yield running


async def has(running: RunningEdge, gate: str) -> None:
    await eventually(lambda: running.edge.rules.check_gate({}, gate), f"it has {gate}", BOUND_SECONDS)


async def saved(system: LeafSystem, gate: str) -> None:
    """Save a gate for everybody, once the scheduler answers."""
    await saved_by(await system.secured.admin(), gate)


async def saved_by(admin: Driver, gate: str) -> None:
    """The same, by somebody."""

    async def is_saved() -> bool:
        try:
            return (await admin.save_gate(gate, EVERYONE)).refusal is None
        except (Unavailable, AssertionError):
            return False

    await eventually(is_saved, f"{gate} is saved", BOUND_SECONDS)


def worst_repetition(caplog: pytest.LogCaptureFixture) -> int:
    """Return how often the line of the edge that was logged most often was logged."""
    edge = ("services.edge", "sluiceway.client", "sluiceway.messaging")
    lines = [record.msg for record in caplog.records if record.name.startswith(edge)]
    return max(map(lines.count, lines), default=1)
