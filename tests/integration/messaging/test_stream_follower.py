"""A follower under ordinary traffic: records that arrive during a question do not make it start again."""

import asyncio

import pytest

from sluiceway.contracts import subjects
from sluiceway.messaging.catalogue_store import CatalogueView
from tests.support.brokers import Broker
from tests.support.system import driving, services

READERS = 5
READS = 40


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
