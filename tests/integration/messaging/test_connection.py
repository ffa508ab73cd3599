"""A connection to a broker that goes away."""

import asyncio

from nats.aio.client import Client

from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker


async def test_a_lost_connection_is_closed_without_an_error(broker: Broker) -> None:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await stop_reading(connection.client)
        broker.kill()
        await connection.client.publish("a", b"b")
        await until_lost(connection.client)
        await connection.client.publish("a", b"b")

        assert connection.client.pending_data_size > 0


async def stop_reading(client: Client) -> None:
    """Keep the client from noticing that the broker is gone, as in the moment after."""
    assert client._reading_task
    client._reading_task.cancel()
    await asyncio.wait([client._reading_task])


async def until_lost(client: Client) -> None:
    """Wait until the operating system reports that the broker is gone."""
    assert client._transport
    async with asyncio.timeout(10):
        while await client._transport._io_reader.read(1_000):  # type: ignore[attr-defined]
            pass
