"""A message that is larger than the broker takes is refused before it is sent, and the connection stays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway.contracts import envelope, subjects
from sluiceway.errors import MessageTooLarge
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.message_size import CONTROL_LINE_REST, HEADER_BYTES_MAX, header_bytes
from sluiceway.messaging.publishing import ConditionalMessage, StreamPublisher
from sluiceway.messaging.streams import declare
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker, broker_with_limit, set_limit
from tests.support.waiting import eventually

STREAM = "LETTERS"
LIMIT = 2**20
HEADERS = {"Sluiceway-Reason": "Größe", " padded ": "  two words  ", "empty": ""}


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await connection.js.add_stream(name=STREAM, subjects=["letters.>"])
        yield connection


async def is_open(connection: Connection) -> bool:
    """Say whether the broker still answers on the same connection."""
    await connection.client.flush()
    return connection.client.is_connected and connection.client.stats["reconnects"] == 0


async def test_the_largest_message_is_stored_and_one_byte_more_is_refused(connection: Connection) -> None:
    publisher = StreamPublisher(connection, STREAM)
    largest = bytes(LIMIT - header_bytes(HEADERS))

    stored = await publisher.publish("letters.a", largest, HEADERS)
    with pytest.raises(MessageTooLarge, match=rf"letters\.a has {LIMIT + 1} bytes.* max_payload is {LIMIT}"):
        await publisher.publish("letters.a", largest + b"x", HEADERS)

    assert stored == 1
    assert await is_open(connection)


async def test_a_request_a_reply_and_a_plain_message_are_refused_alike(connection: Connection) -> None:
    client, data = connection.client, bytes(LIMIT - 5)
    subscription = await client.subscribe("asked")
    with pytest.raises(MessageTooLarge):
        await client.publish("anything", data, headers={"a": "b"})
    with pytest.raises(MessageTooLarge):
        await client.request("anything", data, headers={"a": "b"})
    await client.publish("asked", b"", reply="answers", headers={"a": "b"})
    question = await subscription.next_msg()

    with pytest.raises(MessageTooLarge):
        await question.respond(data)

    assert await is_open(connection)


async def test_of_many_messages_only_the_too_large_one_is_refused(connection: Connection) -> None:
    publisher = StreamPublisher(connection, STREAM)
    messages = [
        ConditionalMessage(f"letters.{name}", bytes(size), {}, 0)
        for name, size in (("a", 1), ("b", LIMIT), ("c", 2))
    ]

    first, second, third = await publisher.append_all(messages)

    assert (first, third) == (1, 2)
    assert isinstance(second, MessageTooLarge)
    assert await is_open(connection)


async def test_headers_and_subjects_have_limits_of_their_own(connection: Connection) -> None:
    publisher = StreamPublisher(connection, STREAM)
    rest = header_bytes({"a": ""})

    await publisher.publish("letters.a", b"", {"a": "b" * (HEADER_BYTES_MAX - rest)})
    with pytest.raises(MessageTooLarge, match="limit of headers is 65535"):
        await publisher.publish("letters.a", b"", {"a": "b" * (HEADER_BYTES_MAX - rest + 1)})
    await connection.client.publish("s" * (4_096 - CONTROL_LINE_REST))
    with pytest.raises(MessageTooLarge, match="limit of subjects is 4096"):
        await connection.client.publish("s" * 4_096)

    assert await is_open(connection)


async def test_a_streams_own_limit_is_not_mistaken_for_a_broker_that_is_away(connection: Connection) -> None:
    await connection.js.add_stream(name="NOTES", subjects=["notes.>"], max_msg_size=1_000)
    publisher = StreamPublisher(connection, "NOTES")

    with pytest.raises(MessageTooLarge, match="max_msg_size of the stream NOTES is 1000"):
        await publisher.publish("notes.a", bytes(1_001))
    (result,) = await publisher.append_all([ConditionalMessage("notes.a", bytes(1_001), {}, 0)])

    assert isinstance(result, MessageTooLarge)
    assert result.size_max == 1_000


async def test_the_limit_is_that_of_the_broker_after_it_was_restarted(tmp_path: Path) -> None:
    with broker_with_limit(tmp_path, 2**18) as broker:
        async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
            publisher = StreamPublisher(connection, STREAM)
            with pytest.raises(MessageTooLarge, match="max_payload is 262144"):
                await publisher.publish("letters.a", bytes(2**18 + 1))

            broker.kill()
            set_limit(tmp_path, 2**19)
            broker.start()
            await eventually(lambda: publisher.message_bytes_max == 2**19, "the new limit is known")

            with pytest.raises(MessageTooLarge, match="max_payload is 524288"):
                await publisher.publish("letters.a", bytes(2**19 + 1))


async def test_a_dead_letter_is_cut_so_that_it_fits_with_its_headers(tmp_path: Path) -> None:
    with broker_with_limit(tmp_path, 2**13) as broker:
        async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
            await declare(connection.js, replicas=1)
            await DeadLetters(connection, "tests").store("a", bytes(2**20), "größer " * 1_000, "invalid")

            stored = await connection.js.get_msg(subjects.DEAD_LETTERS_STREAM, 1)

    assert len(stored.data or b"") + header_bytes(stored.headers) == 2**13
    assert len((stored.headers or {})[envelope.DEAD_REASON].encode()) == 500
