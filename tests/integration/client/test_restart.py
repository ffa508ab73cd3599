"""A client or provider that was closed, or that could not start, and the changes it then names."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import OpenFeatureError
from openfeature.provider import ProviderStatus

from sluiceway.client import Client, User
from sluiceway.client.openfeature import SluicewayProvider
from sluiceway.contracts.commands import ArchiveFeature, SaveFeature
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

ADA = EvaluationContext("ada")


@pytest.fixture
async def driver(broker: Broker) -> AsyncIterator[Driver]:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await driver.save_gate("one")
        await driver.published("one")
        yield driver
    await asyncio.to_thread(api.shutdown)


async def provided(client: Client, *, ready_seconds: float = 10.0) -> SluicewayProvider:
    provider = SluicewayProvider(client, ready_seconds=ready_seconds)
    await asyncio.to_thread(api.set_provider_and_wait, provider, "dev")
    return provider


def told() -> list[EventDetails]:
    """Return a list that takes each event of a change."""
    events: list[EventDetails] = []
    api.get_client("dev").add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, events.append)
    return events


@pytest.mark.parametrize("transport", ["nats", "edge"])
async def test_a_client_that_was_closed_starts_again(
    driver: Driver, broker: Broker, tmp_path: Path, transport: str
) -> None:
    key = await create_key(driver, region="dev")
    async with running_edge(broker.url, "dev", tmp_path, key) as edge:
        if transport == "nats":
            client = Client("dev", url=broker.url, cache_dir=tmp_path / "cache")
        else:
            client = Client("dev", transport="edge", url=edge.url, key=key, cache_dir=tmp_path / "cache")
        async with client:
            pass

        async with client:
            await driver.save_gate("one", EVERYONE)
            await eventually(lambda: client.check_gate(User("ada"), "one"), "it follows again")


async def test_a_provider_becomes_ready_when_its_broker_comes(driver: Driver, broker: Broker) -> None:
    await driver.save_gate("one", EVERYONE)
    broker.kill()
    with pytest.raises(OpenFeatureError, match="waiting for the first rules"):
        await provided(Client("dev", url=broker.url), ready_seconds=0.05)

    broker.start()

    client = api.get_client("dev")
    await eventually(lambda: client.get_boolean_value("one", False, ADA), "the rules are here")
    await eventually(lambda: client.get_provider_status() is ProviderStatus.READY, "it is ready")


async def test_a_change_names_changed_and_removed_flags(driver: Driver, broker: Broker) -> None:
    await driver.save_gate("two")
    client = Client("dev", url=broker.url)
    await provided(client)
    await eventually(lambda: len(client.rules) == 2, "both are here")
    events = told()

    await driver.save_gate("one", EVERYONE)
    await eventually(lambda: events, "the change is told")
    await driver.accepted(ArchiveFeature, kind="gate", name="two")
    await eventually(lambda: len(events) > 1, "the archiving is told")

    assert [event.flags_changed for event in events] == [["one"], ["two"]]


async def test_a_returned_value_may_be_changed(driver: Driver, broker: Broker) -> None:
    limits = {"kind": "DynamicConfig", "name": "limits", "defaultValue": {"names": ["a"]}}
    await driver.accepted(SaveFeature, feature=limits)
    client = Client("dev", url=broker.url)
    await provided(client)
    await eventually(lambda: len(client.rules) == 2, "both are here")

    handed_out = api.get_client("dev").get_object_value("limits", {}, ADA)
    assert isinstance(handed_out, dict)
    handed_out["names"].append("b")

    assert api.get_client("dev").get_object_value("limits", {}, ADA) == {"names": ["a"]}


async def test_a_percentage_of_another_id_needs_no_targeting_key(driver: Driver, broker: Broker) -> None:
    await driver.save_gate("one", {**EVERYONE, "passPercentage": 50}, idType="teamID")
    client = Client("dev", url=broker.url)
    await provided(client)
    team = EvaluationContext(attributes={"customIDs": {"teamID": "t"}})

    details = api.get_client("dev").get_boolean_details("one", False, team)

    assert details.error_code is None
