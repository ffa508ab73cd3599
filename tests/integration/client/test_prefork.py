"""What a parent and its child may do to each other: nothing."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sluiceway.client import Client, User
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import create_key, running_edge
from tests.support.local import ROOT
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

BOUND_SECONDS = 60
ADA = User("ada")


class Server:
    """A process that has forked, and what it is told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self, order: str) -> str:
        """Tell it what to do; return its answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{order}\n".encode())
        async with asyncio.timeout(BOUND_SECONDS):
            return (await self._process.stdout.readline()).decode().strip()

    async def ended(self) -> tuple[int, str]:
        """Let it end; return its exit code and what it complained of."""
        async with asyncio.timeout(BOUND_SECONDS):
            _, complaints = await self._process.communicate(b"")
        assert self._process.returncode is not None
        return self._process.returncode, complaints.decode()


@asynccontextmanager
async def serving(*, starts: str = "early", **client: str) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.client.prefork_app", starts, json.dumps(client)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    server = Server(process)
    try:
        yield server
        assert await server.ended() == (0, "")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def driver(broker: Broker) -> AsyncIterator[Driver]:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await save(driver, "first")
        yield driver


async def save(driver: Driver, rule: str) -> None:
    await driver.save_gate("checkout", {**EVERYONE, "name": rule})


async def test_only_the_parent_writes_the_rules_on_disk(
    broker: Broker, driver: Driver, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    async with serving(url=broker.url, cache_dir=str(cache)) as server:
        assert await server.told("child sees first") == "child sees first"
        await save(driver, "second")
        assert await server.told("parent sees second") == "parent sees second"
        assert await server.told("child sees second") == "child sees second"
        assert await server.told("parent closes") == "parent closed"

        await save(driver, "third")
        assert await server.told("child sees third") == "child sees third"
        assert await server.told("child closes") == "child closed"

    held = Client("dev", url=broker.url, cache_dir=cache)
    assert held.evaluate(ADA, "checkout").rule_id == "second"
    held.close()


async def test_both_follow_an_edge_with_connections_of_their_own(
    broker: Broker, driver: Driver, tmp_path: Path
) -> None:
    key = await create_key(driver, region="dev")
    async with running_edge(broker.url, "dev", tmp_path, key) as edge:
        await eventually(lambda: len(edge.edge.rules) > 0, "the edge has rules")
        async with serving(transport="edge", url=edge.url, key=key) as server:
            for rule in ("second", "third"):
                await save(driver, rule)
                assert await server.told(f"child sees {rule}") == f"child sees {rule}"
                assert await server.told(f"parent sees {rule}") == f"parent sees {rule}"


@pytest.mark.parametrize(("closing", "other"), [("child", "parent"), ("parent", "child")])
async def test_one_that_closes_leaves_the_other_following(
    broker: Broker, driver: Driver, closing: str, other: str
) -> None:
    async with serving(url=broker.url) as server:
        assert await server.told(f"{closing} closes") == f"{closing} closed"
        await save(driver, "second")

        assert await server.told(f"{other} sees second") == f"{other} sees second"


async def test_a_client_that_is_started_in_the_child_alone_follows_there(
    broker: Broker, driver: Driver
) -> None:
    async with serving(starts="late", url=broker.url) as server:
        assert await server.told("child starts") == "child started"
        await save(driver, "second")

        assert await server.told("child sees second") == "child sees second"


async def test_a_fork_while_the_broker_is_away_follows_once_it_is_back(
    broker: Broker, driver: Driver, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    async with Client("dev", url=broker.url, cache_dir=cache) as client:
        await eventually(lambda: client.check_gate(ADA, "checkout"), "the disk holds the gate")
    broker.kill()
    async with serving(starts="late", url=broker.url, cache_dir=str(cache)) as server:
        assert await server.told("child sees first") == "child sees first"
        broker.start()

        assert await server.told("child starts") == "child started"
        assert await server.told("parent starts") == "parent started"
