"""The store of the broker goes back to an older day: what the log says is what regions serve, within 5 s."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sluiceway import sdk_keys
from sluiceway.client import Client, User
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import AbortTrigger, RevokeKey, SaveFeature
from sluiceway.telemetry import metrics
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.history import SavedStore
from tests.support.system import EVERYONE, Driver, driving, following, services
from tests.support.waiting import eventually

OBEYED_SECONDS = 5.0
STREAMS = (subjects.FEATURES_STREAM, subjects.CATALOG_STREAM, subjects.RULES_STREAM)


@pytest.fixture
def store(broker: Broker, tmp_path: Path) -> SavedStore:
    if not (tmp_path / "broker" / "jetstream").exists():
        pytest.skip("the store of a broker in a container cannot be replaced")
    return SavedStore(broker, tmp_path / "broker")


async def serves(edge: RunningEdge, gate: str) -> Any:
    """Return what an edge says of a gate: its value, or the code of an error."""
    answer = await edge.flag(gate, targetingKey="ada")
    return answer.get("value", answer.get("errorCode"))


async def obeys(edge: RunningEdge, expected: dict[str, Any]) -> None:
    async def look() -> bool:
        return {gate: await serves(edge, gate) for gate in expected} == expected

    await eventually(look, f"the edge serves {expected}", OBEYED_SECONDS)


@asynccontextmanager
async def running(broker: Broker, tmp_path: Path) -> AsyncIterator[tuple[Driver, RunningEdge]]:
    """Run every service and the edge of dev, with a store in which the gate `one` is on."""
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        key = await create_key(driver, region="dev")
        await driver.save_gate("one", EVERYONE)
        async with running_edge(broker.url, "dev", tmp_path / "edge", key) as edge:
            await obeys(edge, {"one": True})
            yield driver, edge


async def change_everything(driver: Driver) -> str:
    """Make changes that a restore takes back; return a key that is then unknown."""
    await driver.save_gate("one")
    for version in range(3):
        await driver.save_gate("two", EVERYONE, description=str(version))
    return await create_key(driver, region="dev")


@pytest.mark.parametrize("streams", [(), *((name,) for name in STREAMS)], ids=lambda names: names or "all")
async def test_services_that_run_obey_the_log_that_was_put_back(
    broker: Broker, store: SavedStore, tmp_path: Path, streams: tuple[str, ...]
) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        await save(driver, store)
        key = await change_everything(driver)
        await obeys(edge, {"one": False, "two": True})
        breaks = metrics.HISTORY_BREAKS.labels(streams[0] if streams else STREAMS[0])
        seen = breaks._value.get()

        store.restore(*streams)

        is_back = streams != (subjects.RULES_STREAM,) and streams != (subjects.CATALOG_STREAM,)
        await obeys(edge, {"one": is_back, "two": "FLAG_NOT_FOUND" if is_back else True})
        if subjects.CATALOG_STREAM in streams or not streams:
            await eventually(lambda: not edge.edge.keys.is_authorized(key), "the key is unknown", 5)
        await eventually(lambda: breaks._value.get() > seen, "somebody counts it")

        await driver.save_gate("one", *(() if is_back else [EVERYONE]))
        await driver.save_gate("two")
        await obeys(edge, {"one": not is_back, "two": False})


async def save(driver: Driver, store: SavedStore) -> None:
    """Save the store, and wait until the services have the broker back."""
    store.save()
    await eventually(partial(driver.answered, AbortTrigger, trigger="gate.unknown.1"), "they are back")


def gate(name: str) -> dict[str, Any]:
    return {"kind": "FeatureGate", "name": name, "rules": []}


async def test_an_edge_that_was_stopped_obeys_the_log_that_was_put_back(
    broker: Broker, store: SavedStore, tmp_path: Path
) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        key = edge.http.headers["x-api-key"]
    store.save()
    async with (
        services(broker.url),
        driving(broker.url) as driver,
        running_edge(broker.url, "dev", tmp_path / "edge", key) as edge,
    ):
        lost_key = await change_everything(driver)
        await obeys(edge, {"one": False, "two": True})
        await eventually(lambda: edge.edge.keys.is_authorized(lost_key), "the edge knows the key")
    store.restore()

    async with services(broker.url), driving(broker.url) as driver:
        # The new history grows longer than the lost one before the edge comes back.
        for version in range(12):
            await driver.save_gate("three", description=str(version))
        async with running_edge(broker.url, "dev", tmp_path / "edge", key) as edge:
            await obeys(edge, {"one": True, "two": "FLAG_NOT_FOUND", "three": False})
            assert not edge.edge.keys.is_authorized(lost_key)

            await driver.accepted(RevokeKey, keyID=sdk_keys.key_id(key))
            await eventually(lambda: not edge.edge.keys.is_authorized(key), "the key is revoked", 5)


@pytest.mark.parametrize("versions", [0, 12], ids=["shorter", "longer"])
async def test_a_publisher_that_starts_corrects_the_rules_of_a_log_that_went_back(
    broker: Broker, store: SavedStore, tmp_path: Path, versions: int
) -> None:
    """RULES keeps documents of greater revisions than the log has, or of the same ones."""
    async with running(broker, tmp_path) as (driver, edge):
        key = edge.http.headers["x-api-key"]
    store.save()
    async with services(broker.url), driving(broker.url) as driver:
        await change_everything(driver)
        async with running_edge(broker.url, "dev", tmp_path / "edge", key) as edge:
            await obeys(edge, {"one": False, "two": True})
    store.restore(subjects.FEATURES_STREAM)

    async with driving(broker.url) as driver:
        async with services(broker.url, publishers=0):
            for version in range(versions):
                await driver.save_gate("three", description=str(version))
        async with (
            services(broker.url),
            running_edge(broker.url, "dev", tmp_path / "edge", key) as edge,
        ):
            await obeys(edge, {"one": True, "two": "FLAG_NOT_FOUND"})


async def test_a_release_of_a_lost_history_is_taken_back(
    broker: Broker, store: SavedStore, tmp_path: Path
) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        await save(driver, store)
        await start_release(driver)
        await obeys(edge, {"one": False})

        store.restore()
        await obeys(edge, {"one": True})

        trigger = await start_release(driver)
        await obeys(edge, {"one": False})
        await driver.act(AbortTrigger, trigger)
        await obeys(edge, {"one": True})


async def start_release(driver: Driver) -> str:
    """Release that the gate `one` is off; return the trigger."""
    reply = await driver.saved(SaveFeature, feature={**gate("one"), "releasePipelineID": PIPELINE})
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def test_clients_with_a_cache_obey_the_log_that_was_put_back(
    broker: Broker, store: SavedStore, tmp_path: Path
) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        key = edge.http.headers["x-api-key"]
        over_nats = Client("dev", url=broker.url, cache_dir=tmp_path / "nats")
        over_http = Client("dev", transport="edge", url=edge.url, key=key, cache_dir=str(tmp_path / "http"))
        async with over_nats, over_http:
            await save(driver, store)
            await change_everything(driver)
            for client in (over_nats, over_http):
                await eventually(partial(client.check_gate, User("ada"), "two"), "two is on")

            store.restore()

            for client in (over_nats, over_http):
                await eventually(partial(client.check_gate, User("ada"), "one"), "one is on", OBEYED_SECONDS)
                assert not client.check_gate(User("ada"), "two")


async def test_an_official_sdk_takes_the_rules_that_were_put_back(
    broker: Broker, store: SavedStore, tmp_path: Path
) -> None:
    """An SDK ignores a payload whose time is smaller than that of the one it has."""
    specs = "/v2/download_config_specs"
    async with running(broker, tmp_path) as (driver, edge):
        await save(driver, store)
        await change_everything(driver)
        await obeys(edge, {"one": False, "two": True})
        had = (await edge.http.get(specs)).json()

        store.restore()
        await obeys(edge, {"one": True, "two": "FLAG_NOT_FOUND"})
        query = {"sinceTime": had["time"], "checksum": had["checksum"]}
        new = (await edge.http.get(specs, params=query)).json()

        assert new["has_updates"]
        assert new["time"] > had["time"]
        assert sorted(new["feature_gates"]) == ["one"]


async def test_a_log_that_begins_again_is_what_regions_serve(
    broker: Broker, store: SavedStore, tmp_path: Path
) -> None:
    del store
    async with running(broker, tmp_path) as (driver, edge):
        await driver.save_gate("two", EVERYONE)
        await obeys(edge, {"one": True, "two": True})
        await driver.connection.js.delete_stream(subjects.FEATURES_STREAM)
        async with services(broker.url, publishers=0, monitors=0):  # which declares it again
            await eventually(lambda: driver.answered(SaveFeature, feature=gate("one")), "it is back")

            await obeys(edge, {"one": False, "two": "FLAG_NOT_FOUND"})


async def test_a_key_that_is_revoked_while_no_publisher_runs_is_refused(
    broker: Broker, store: SavedStore, tmp_path: Path
) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        key = edge.http.headers["x-api-key"]
        await save(driver, store)
        await change_everything(driver)
        await obeys(edge, {"one": False, "two": True})
    async with (
        services(broker.url, publishers=0),
        driving(broker.url) as driver,
        running_edge(broker.url, "dev", tmp_path / "edge", key) as edge,
    ):
        store.restore()
        await eventually(lambda: driver.answered(AbortTrigger, trigger="gate.unknown.1"), "it is back")

        await driver.saved(RevokeKey, keyID=sdk_keys.key_id(key))

        await eventually(lambda: not edge.edge.keys.is_authorized(key), "the key is revoked", OBEYED_SECONDS)


async def test_an_empty_broker_makes_nobody_forget(
    broker: Broker, store: SavedStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(broker, tmp_path) as (driver, edge), following(broker.url, "dev", tmp_path) as client:
        key = edge.http.headers["x-api-key"]

        store.empty()
        async with services(broker.url):  # which declare the streams again
            await eventually(lambda: "keeping 1 features" in caplog.text, "the edge says so")
            await apply_catalogue(driver)
            await eventually(lambda: "its log is empty" in caplog.text, "the edge says so")
            assert await serves(edge, "one") is True
            assert client.passes("one")
        async with running_edge(broker.url, "dev", tmp_path / "edge", key) as restarted:
            assert await serves(restarted, "one") is True
            async with services(broker.url):
                await driver.save_gate("other", EVERYONE)
                await eventually(lambda: client.passes("other"), "the new set is complete", OBEYED_SECONDS)
                assert not client.passes("one")


async def test_what_went_back_is_logged_with_how_far(
    broker: Broker, store: SavedStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        await save(driver, store)
        await change_everything(driver)
        await obeys(edge, {"one": False, "two": True})

        store.restore(subjects.FEATURES_STREAM)

        message = (
            "the stream FEATURES went back: it ends at message 1; "
            "this process had read or stored message 5, 4 messages"
        )
        await eventually(lambda: message in caplog.text, "it is logged")
