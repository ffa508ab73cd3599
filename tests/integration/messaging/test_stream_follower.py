"""A follower under ordinary traffic: records that arrive during a question do not make it start again."""

import asyncio

import pytest
from nats.aio.msg import Msg

from sluiceway.contracts import subjects
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.jetstream_api import API
from tests.support.brokers import Broker
from tests.support.system import driving, services

READERS = 5
READS = 40
CALLERS = 100


async def test_readers_beside_writers_do_not_disturb_a_follower(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with services(broker.url), driving(broker.url) as driver, CatalogueView(driver.connection) as view:
        await view.caught_up()

        async def read() -> None:
            for _ in range(READS):
                await view.catch_up()

        async def write() -> None:
            for number in range(READERS * READS):
                await driver.connection.js.publish(subjects.catalogue("freeze", str(number)), b"{}")

        await asyncio.gather(write(), *(read() for _ in range(READERS)))

        assert view.follower.resets == 0
        assert "with a new consumer" not in caplog.text


async def test_callers_who_catch_up_at_the_same_moment_cost_one_request(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver, CatalogueView(driver.connection) as view:
        await view.caught_up()
        requests: list[Msg] = []

        async def count(request: Msg) -> None:
            requests.append(request)

        await driver.connection.client.subscribe(f"{API}.STREAM.INFO.{subjects.CATALOG_STREAM}", cb=count)
        await driver.connection.client.flush()

        await asyncio.gather(*(view.catch_up() for _ in range(CALLERS)))
        await driver.connection.client.flush()

        assert 1 <= len(requests) <= 2


async def test_catching_up_says_that_there_is_no_such_stream(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver, CatalogueView(driver.connection) as view:
        await view.caught_up()
        await driver.connection.js.delete_stream(subjects.CATALOG_STREAM)

        with pytest.raises(Unavailable, match="stream not found"):
            await view.catch_up()
