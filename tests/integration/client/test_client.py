"""The client in threads and on event loops, over NATS and over an edge."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sluiceway.cli.current_state import read_reports
from sluiceway.client import Client, User
from sluiceway.errors import Misconfigured
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

ADA = User("ada", custom={"plan": "pro"})


@asynccontextmanager
async def system(broker: Broker) -> AsyncIterator[Driver]:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await driver.save_gate("checkout")
        await driver.published("checkout")
        yield driver


async def test_a_client_over_nats_follows_changes_from_a_thread_of_its_own(broker: Broker) -> None:
    async with system(broker) as driver:
        client = Client("dev", url=broker.url)
        before = client.check_gate(ADA, "checkout")
        async with client:
            await eventually(lambda: client.evaluate(ADA, "checkout").revision, "the client has the gate")
            started = client.evaluate(ADA, "checkout")
            await driver.save_gate("checkout", EVERYONE)

            await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the change")

            assert before is False
            assert (started.value, started.rule_id) == (False, "default")
            assert client.evaluate(ADA, "checkout").revision > started.revision

        assert client.check_gate(ADA, "checkout") is True


async def test_a_client_over_an_edge_follows_and_is_reported(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        key = await create_key(driver, region="dev")
        async with running_edge(broker.url, "dev", tmp_path, key) as edge:
            await eventually(lambda: len(edge.edge.rules) > 0, "the edge has rules")
            async with Client("dev", transport="edge", url=edge.url, key=key) as client:
                started = client.evaluate(ADA, "checkout")
                await driver.save_gate("checkout", EVERYONE)
                await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the change")
                await driver.save_gate("checkout")
                await eventually(lambda: not client.check_gate(ADA, "checkout"), "and the next one")

                async def reported() -> bool:
                    reports = (await read_reports(driver.connection)).get("dev", [])
                    return len({report.instance for report in reports}) == 2

                await eventually(reported, "the client is reported as well as the edge")
                assert started.revision > 0


async def test_a_client_that_waits_for_a_change_closes_immediately(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        key = await create_key(driver, region="dev")
        async with running_edge(broker.url, "dev", tmp_path, key) as edge:
            await eventually(lambda: len(edge.edge.rules) > 0, "the edge has rules")
            client = Client("dev", transport="edge", url=edge.url, key=key)
            await client.__aenter__()
            thread = client._thread

            await client.__aexit__()

            assert thread
            assert not thread.is_alive()


async def test_a_wrong_key_is_logged_and_nothing_else(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with system(broker), running_edge(broker.url, "dev", tmp_path) as edge:
        with caplog.at_level(logging.ERROR, logger="sluiceway"):
            client = Client("dev", transport="edge", url=edge.url, key="secret-wrong").start()
            await eventually(lambda: "does not accept the key" in caplog.text, "the log says it")

        assert not client.check_gate(ADA, "checkout")
        assert "secret-wrong" not in caplog.text
        await asyncio.to_thread(client.close)


async def test_a_client_reconnects_to_a_restarted_edge(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        key = await create_key(driver, region="dev")
        async with running_edge(broker.url, "dev", tmp_path, key) as edge:
            await eventually(lambda: len(edge.edge.rules) > 0, "the edge has rules")
            port = int(edge.url.rpartition(":")[2])
            client = Client("dev", transport="edge", url=edge.url, key=key)
            await client.__aenter__()
        await driver.save_gate("checkout", EVERYONE)

        async with running_edge(broker.url, "dev", tmp_path, key, http_port=port):
            await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the change")
        await client.__aexit__()


async def test_a_client_starts_with_the_rules_on_disk(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        await driver.save_gate("checkout", EVERYONE)
        async with Client("dev", url=broker.url, cache_dir=tmp_path) as client:
            await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the gate")
    broker.kill()

    again = Client("dev", url=broker.url, cache_dir=tmp_path)

    assert again.check_gate(ADA, "checkout")
    again.close()


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(Misconfigured, match="needs the url of an edge and an SDK key"):
        Client("dev", transport="edge")
    with pytest.raises(Misconfigured, match="invalid edge URL"):
        Client("dev", transport="edge", url="edge:80", key="k")
    with pytest.raises(Misconfigured, match="unknown transport"):
        Client("dev", transport="pigeon")  # type: ignore[arg-type]


def test_closing_does_not_wait_for_a_broker_that_is_down() -> None:
    client = Client("dev", url="nats://127.0.0.1:9").start()

    assert client.wait_until_ready(0.05) is False
    assert client.check_gate(ADA, "checkout") is False
    begun = time.monotonic()
    client.close()
    assert client._thread is None
    assert time.monotonic() >= begun
