"""What is stored, and what the writer is told, when messages are published to a stream."""

from collections.abc import AsyncIterator

import pytest

from sluiceway.errors import Conflict, Unavailable
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.publishing import ConditionalMessage, NoStream, StreamPublisher
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker

STREAM = "LETTERS"


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await connection.js.add_stream(name=STREAM, subjects=["letters.>"])
        yield connection


@pytest.fixture
def publisher(connection: Connection) -> StreamPublisher:
    return StreamPublisher(connection, STREAM)


def a_message(subject: str = "letters.a", expected: int = 0) -> ConditionalMessage:
    return ConditionalMessage(subject, b"{}", {"Sluiceway-Revision": "7"}, expected)


async def test_a_message_is_appended_behind_the_expected_sequence(
    connection: Connection, publisher: StreamPublisher
) -> None:
    first = await publisher.append(a_message())
    second = await publisher.append(a_message(expected=first))

    stored = await connection.js.get_msg(STREAM, second)
    assert (first, second) == (1, 2)
    assert (stored.headers or {})["Sluiceway-Revision"] == "7"


async def test_a_writer_that_comes_second_is_told_so(publisher: StreamPublisher) -> None:
    await publisher.append(a_message())

    with pytest.raises(Conflict, match=r"letters\.a has changed: its last sequence is not 0"):
        await publisher.append(a_message())


async def test_of_many_messages_each_is_stored_or_in_conflict(publisher: StreamPublisher) -> None:
    taken = await publisher.append(a_message("letters.taken"))

    results = await publisher.append_all(
        [a_message("letters.b"), a_message("letters.taken"), a_message("letters.taken", taken)]
    )

    assert (results[0], results[2]) == (taken + 1, taken + 2)
    assert isinstance(results[1], Conflict)


async def test_a_message_with_a_known_id_is_stored_once(
    connection: Connection, publisher: StreamPublisher
) -> None:
    first = await publisher.publish("letters.a", b"{}", message_id="7")
    second = await publisher.publish("letters.a", b"{}", message_id="7")

    assert first == second
    assert (await connection.js.stream_info(STREAM)).state.messages == 1


async def test_a_writer_learns_which_stream_did_not_store_its_message(connection: Connection) -> None:
    publisher = StreamPublisher(connection, "GONE")

    for attempt in (
        publisher.append(a_message("gone.a")),
        publisher.append_all([a_message("gone.a")]),
        publisher.publish("gone.a", b"{}"),
    ):
        with pytest.raises(Unavailable, match="cannot write to the stream GONE: "):
            await attempt


@pytest.mark.parametrize("others", [["letters.a", "letters.b"], []])
async def test_a_writer_learns_whether_anything_was_stored_where_a_subject_has_no_stream(
    publisher: StreamPublisher, others: list[str]
) -> None:
    with pytest.raises(NoStream) as raised:
        await publisher.append_all([a_message(subject) for subject in ("gone.a", *others)])

    assert raised.value.is_partial == bool(others)


async def test_a_full_stream_is_unavailable_and_not_in_conflict(connection: Connection) -> None:
    await connection.js.add_stream(name="SMALL", subjects=["small.>"], max_bytes=64, discard="new")
    publisher = StreamPublisher(connection, "SMALL")
    large = ConditionalMessage("small.a", b"x" * 100, {}, 0)

    with pytest.raises(Unavailable, match="stream SMALL: maximum bytes exceeded"):
        await publisher.append(large)
    with pytest.raises(Unavailable, match="stream SMALL: maximum bytes exceeded"):
        await publisher.append_all([large])
