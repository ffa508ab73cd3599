"""Messages that are received while they are read, without a queue and a task."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.delivery import subscribed
from sluiceway.messaging.nats_client import RawMessage
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.waiting import eventually


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "test") as connection:
        yield connection


async def test_a_message_comes_as_it_was_sent(connection: Connection) -> None:
    received: list[RawMessage] = []
    await connection.client.receive_now("letters.*", received.append)

    await connection.client.publish("letters.a", b"1", "_INBOX.x", {"Name": "value"})
    await connection.client.publish("letters.b", b"2")

    await eventually(lambda: len(received) == 2, "both are received")
    assert received == [
        RawMessage("letters.a", b"1", "_INBOX.x", {"Name": "value"}),
        RawMessage("letters.b", b"2"),
    ]


async def test_one_of_a_queue_group_receives_each_message(connection: Connection) -> None:
    first: list[RawMessage] = []
    second: list[RawMessage] = []
    for received in (first, second):
        await connection.client.receive_now("letters", received.append, queue="readers")

    for number in range(20):
        await connection.client.publish("letters", b"%d" % number)

    await eventually(lambda: len(first + second) >= 20, "all are received")
    assert sorted(int(message.data) for message in first + second) == list(range(20))


async def test_what_was_sent_before_a_subscription_is_drained_is_received_and_nothing_later(
    connection: Connection,
) -> None:
    received: list[RawMessage] = []
    client = connection.client
    subscription = await client.receive_now("letters", received.append)
    await subscribed(client)

    for number in range(20):
        await client.publish("letters", b"%d" % number)
    await subscription.drain()  # type: ignore[no-untyped-call]
    await client.publish("letters", b"late")
    await subscribed(client)

    assert [int(message.data) for message in received] == list(range(20))
    assert not client._receivers


async def test_a_subscription_receives_after_the_broker_was_restarted(
    connection: Connection, broker: Broker
) -> None:
    received: list[RawMessage] = []
    reconnected = asyncio.Event()
    connection.on_reconnect(reconnected.set)
    await connection.client.receive_now("letters", received.append)

    broker.kill()
    broker.start()
    await reconnected.wait()
    await connection.client.publish("letters", b"1")

    await eventually(lambda: [message.data for message in received] == [b"1"], "it is received")


async def test_an_error_of_the_receiver_ends_nothing(connection: Connection) -> None:
    received: list[RawMessage] = []

    def receive(message: RawMessage) -> None:
        received.append(message)
        raise RuntimeError("a bug")

    await connection.client.receive_now("letters", receive)
    await connection.client.publish("letters", b"1")
    await connection.client.publish("letters", b"2")

    await eventually(lambda: [message.data for message in received] == [b"1", b"2"], "both are received")
