"""How the client's answers follow releases: in threads and on event loops, over NATS and over an edge."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sluiceway.cli.current_state import read_reports
from sluiceway.client import Client, Reason, User
from sluiceway.contracts.commands import ArchiveFeature, RollOutTrigger, SaveFeature
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

ADA = User("ada")
LONG_MS = 3_600_000
#: Far below the 8 s for which an edge holds a request.
QUICK_SECONDS = 2.0


@asynccontextmanager
async def system(broker: Broker) -> AsyncIterator[Driver]:
    """Run every service with a gate that is off, and a pipeline whose first phase bakes for long."""
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        await driver.save_gate("checkout")
        await driver.published("checkout")
        yield driver


@asynccontextmanager
async def edge_of(broker: Broker, folder: Path, key: str, **settings: Any) -> AsyncIterator[RunningEdge]:
    """Run an edge of the region dev that has rules."""
    async with running_edge(broker.url, "dev", folder, key, **settings) as edge:
        await eventually(lambda: len(edge.edge.rules) > 0, "the edge has rules")
        yield edge


@asynccontextmanager
async def both_transports(
    driver: Driver, broker: Broker, folder: Path
) -> AsyncIterator[tuple[Client, Client]]:
    """Yield a client over NATS, and one over an edge."""
    key = await create_key(driver, region="dev")
    async with (
        edge_of(broker, folder, key) as edge,
        Client("dev", url=broker.url) as direct,
        Client("dev", transport="edge", url=edge.url, key=key) as over_edge,
    ):
        yield direct, over_edge


def has(client: Client, name: str) -> bool:
    return client.evaluate(ADA, name).reason is not Reason.UNRECOGNIZED


def agree(one: Client, other: Client, name: str) -> bool:
    return one.evaluate(ADA, name) == other.evaluate(ADA, name)


async def release(driver: Driver) -> str:
    """Begin to release the gate to everyone; return the trigger."""
    reply = await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def follow_a_release_and_its_rollback(driver: Driver, client: Client) -> None:
    base = client.evaluate(ADA, "checkout")
    assert (base.value, base.reason, base.trigger) == (False, Reason.STATIC, None)

    trigger = await release(driver)
    await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the candidate")
    candidate = client.evaluate(ADA, "checkout")
    await driver.alert("CheckoutErrors", gate="checkout", region="dev")
    await eventually(lambda: not client.check_gate(ADA, "checkout"), "the client is back on the base")
    back = client.evaluate(ADA, "checkout")

    assert (candidate.rule_id, candidate.reason, candidate.trigger) == ("everyone", Reason.RULE, trigger)
    assert (back.value, back.trigger) == (False, None)
    assert base.revision < candidate.revision < back.revision


async def test_a_threaded_application_follows_a_release_and_its_rollback(broker: Broker) -> None:
    async with system(broker) as driver:
        client = Client("dev", url=broker.url)
        await asyncio.to_thread(client.__enter__)

        await follow_a_release_and_its_rollback(driver, client)

        await asyncio.to_thread(client.__exit__, None, None, None)


async def test_an_event_loop_follows_a_release_and_its_rollback(broker: Broker) -> None:
    async with system(broker) as driver, Client("dev", url=broker.url) as client:
        await follow_a_release_and_its_rollback(driver, client)


async def test_a_client_of_an_edge_follows_a_release_and_its_rollback(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        key = await create_key(driver, environment="development")
        async with (
            edge_of(broker, tmp_path, key) as edge,
            Client("dev", transport="edge", url=edge.url, key=key) as client,
        ):
            await follow_a_release_and_its_rollback(driver, client)


async def test_both_transports_give_the_same_answers(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        limits = {"kind": "DynamicConfig", "name": "limits", "defaultValue": {"max": 3}}
        await driver.accepted(SaveFeature, feature=limits)
        await driver.act(RollOutTrigger, await release(driver))
        async with both_transports(driver, broker, tmp_path) as (direct, over_edge):
            for name in ("checkout", "limits"):
                await eventually(partial(has, direct, name), f"{name} is there")
                await eventually(partial(agree, direct, over_edge, name), f"both say the same of {name}")

            assert over_edge.check_gate(ADA, "checkout") is True
            assert over_edge.get_config(ADA, "limits") == direct.get_config(ADA, "limits")
            assert over_edge.get_config(ADA, "limits").get_int("max") == 3


async def test_an_archived_feature_is_removed_over_both_transports(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        await driver.save_gate("checkout", EVERYONE)
        async with both_transports(driver, broker, tmp_path) as clients:
            for client in clients:
                await eventually(partial(client.check_gate, ADA, "checkout"), "the gate is there")

            await driver.accepted(ArchiveFeature, kind="gate", name="checkout")

            await eventually(lambda: not any(has(client, "checkout") for client in clients), "it is gone")
            assert not any(client.check_gate(ADA, "checkout") for client in clients)


@pytest.mark.parametrize("name", ["checkout", "gate.checkout", "limits"])
def test_without_rules_answers_are_false_and_empty(name: str) -> None:
    client = Client("dev", url="nats://127.0.0.1:9")

    assert client.check_gate(ADA, name) is False
    assert client.get_config(ADA, name).value == {}
    assert client.evaluate(ADA, name).reason is Reason.NOT_READY
    client.close()
    client.close()


async def test_rules_on_disk_answer_until_the_broker_is_back(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        await driver.save_gate("checkout", EVERYONE)
        async with Client("dev", url=broker.url, cache_dir=tmp_path / "cache") as client:
            await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the gate")
            known = client.evaluate(ADA, "checkout")
        broker.kill()
        again = Client("dev", url=broker.url, cache_dir=tmp_path / "cache").start()

        assert again.evaluate(ADA, "checkout") == known
        assert await asyncio.to_thread(again.wait_until_ready, 0.05) is False

        broker.start()
        assert await asyncio.to_thread(again.wait_until_ready)
        await eventually(lambda: _is_saved(driver), "a command is answered again")
        await eventually(lambda: not again.check_gate(ADA, "checkout"), "the client follows")
        await asyncio.to_thread(again.close)


async def test_rules_on_disk_answer_until_a_new_edge_is_up(broker: Broker, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    async with system(broker) as driver:
        key = await create_key(driver, region="dev")
        await driver.save_gate("checkout", EVERYONE)
        async with edge_of(broker, tmp_path / "edge", key) as edge:
            address = edge.url
            async with Client("dev", transport="edge", url=address, key=key, cache_dir=cache) as client:
                await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the gate")

        again = Client("dev", transport="edge", url=address, key=key, cache_dir=cache).start()
        assert again.check_gate(ADA, "checkout")
        assert await asyncio.to_thread(again.wait_until_ready, 0.05) is False

        await driver.save_gate("checkout")
        port = int(address.rpartition(":")[2])
        async with edge_of(broker, tmp_path / "edge", key, http_port=port):
            await eventually(lambda: not again.check_gate(ADA, "checkout"), "the client follows")
        await asyncio.to_thread(again.close)


async def test_an_edge_that_moved_is_not_found_and_the_last_rules_stay(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with system(broker) as driver:
        key = await create_key(driver, region="dev")
        async with edge_of(broker, tmp_path, key) as edge:
            port = int(edge.url.rpartition(":")[2])
            client = Client("dev", transport="edge", url=edge.url, key=key)
            await client.__aenter__()
        await driver.save_gate("checkout", EVERYONE)

        async with edge_of(broker, tmp_path, key) as moved:
            assert int(moved.url.rpartition(":")[2]) != port
            async with Client("dev", transport="edge", url=moved.url, key=key) as other:
                await eventually(lambda: other.check_gate(ADA, "checkout"), "the moved edge has the change")
            await eventually(lambda: "does not answer" in caplog.text, "the log says that the edge is gone")

            assert client.evaluate(ADA, "checkout").value is False
            assert client.evaluate(ADA, "checkout").revision > 0
        await client.__aexit__()


@pytest.mark.parametrize("place", ["nowhere", "another region"])
async def test_a_key_that_does_not_open_the_region_gives_no_rules_and_one_line(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    async with system(broker) as driver:
        right = await create_key(driver, region="dev")
        wrong = "secret-wrong" if place == "nowhere" else await create_key(driver, region="staging")
        async with edge_of(broker, tmp_path, right) as edge:
            client = Client("dev", transport="edge", url=edge.url, key=wrong).start()

            await eventually(lambda: "does not accept the key" in caplog.text, "the log says it")

            said = [record for record in caplog.records if record.name.startswith("sluiceway.client")]
            assert [(record.levelno, record.exc_info) for record in said] == [(logging.ERROR, None)]
            assert wrong not in caplog.text
            assert client.wait_until_ready(0) is False
            assert len(client.rules) == 0
            await asyncio.to_thread(client.close)


@pytest.mark.parametrize("transport", ["nats", "edge"])
async def test_an_idle_client_closes_immediately(broker: Broker, tmp_path: Path, transport: str) -> None:
    async with system(broker) as driver:
        key = await create_key(driver, region="dev")
        async with edge_of(broker, tmp_path, key) as edge:
            client = (
                Client("dev", url=broker.url)
                if transport == "nats"
                else Client("dev", transport="edge", url=edge.url, key=key)
            )
            await client.__aenter__()
            thread = client._thread
            assert thread
            # An edge knows of its client once that asks for what is newer, and then it is held.
            await eventually(partial(_is_reported, driver, instances=2), "the client waits for a change")

            begun = time.monotonic()
            await asyncio.to_thread(client.close)

            assert time.monotonic() - begun < QUICK_SECONDS
            assert not thread.is_alive()


async def test_what_a_client_of_an_edge_has_applied_is_reported(broker: Broker, tmp_path: Path) -> None:
    async with system(broker) as driver:
        key = await create_key(driver, region="dev")
        async with (
            edge_of(broker, tmp_path, key) as edge,
            Client("dev", transport="edge", url=edge.url, key=key) as client,
        ):
            await driver.save_gate("checkout", EVERYONE)
            await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the change")

            async def is_reported() -> bool:
                reports = (await read_reports(driver.connection)).get("dev", [])
                newest = edge.edge.rules.position.sequence
                others = [report for report in reports if report.instance != edge.edge.instance]
                return [report.sequence for report in others] == [newest]

            await eventually(is_reported, "the client's report names the newest sequence")


async def test_a_client_over_nats_is_reported_with_its_changes(broker: Broker) -> None:
    async with system(broker) as driver, Client("dev", url=broker.url) as client:
        reply = await driver.save_gate("checkout", EVERYONE)
        await eventually(lambda: client.check_gate(ADA, "checkout"), "the client has the change")

        async def is_reported() -> bool:
            reports = (await read_reports(driver.connection)).get("dev", [])
            return any(report.sequence == client.rules.position.sequence for report in reports)

        await eventually(is_reported, "the report names the newest sequence")
        assert reply.feature


async def _is_reported(driver: Driver, *, instances: int) -> bool:
    reports = (await read_reports(driver.connection)).get("dev", [])
    return len({report.instance for report in reports}) == instances


async def _is_saved(driver: Driver) -> bool:
    document = {"kind": "FeatureGate", "name": "checkout", "rules": []}
    return await driver.answered(SaveFeature, feature=document)
