"""Followers of what is moved to another stream, as the rules of a region are; heartbeats come often here."""

from collections.abc import AsyncIterator, Iterator

import pytest
from nats.js.api import StreamConfig
from prometheus_client import REGISTRY

from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_history import StreamPlace
from sluiceway.messaging.stream_records import Record
from sluiceway.settings import BrokerSettings
from tests.support import heartbeats
from tests.support.brokers import Broker
from tests.support.waiting import eventually

BREAKS = "sluiceway_history_breaks_total"
OLD, NEW = StreamPlace("OLD", "0/1"), StreamPlace("NEW", "1/2")


@pytest.fixture(autouse=True)
def fast_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats.make_fast(monkeypatch)


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        yield connection


class Letters:
    """What a follower delivers since it last had to start over."""

    def __init__(self) -> None:
        self.place = OLD
        self.looked = 0
        self.texts: list[str] = []

    async def find(self) -> StreamPlace:
        self.looked += 1
        return self.place

    def on_record(self, record: Record) -> None:
        self.texts.append(record.data.decode())

    def following(self, connection: Connection) -> Follower:
        return Follower(
            connection,
            OLD.stream,
            ["letters.>"],
            self.on_record,
            on_reset=self.texts.clear,
            find=self.find,
        )


async def add_stream(connection: Connection, place: StreamPlace, subject: str = "letters.>") -> None:
    await connection.js.add_stream(StreamConfig(name=place.stream, subjects=[subject]))


async def test_what_was_moved_is_read_from_the_start_without_a_break_of_history(
    connection: Connection,
) -> None:
    letters = Letters()
    await add_stream(connection, OLD)
    for text in ("a", "b", "c"):
        await connection.js.publish(f"letters.{text}", f"old {text}".encode())
    async with letters.following(connection) as follower:
        await follower.caught_up()
        assert letters.texts == ["old a", "old b", "old c"]
        await eventually(lambda: letters.looked == 2, "it has looked again with its consumer")

        letters.place = NEW
        await connection.js.delete_stream(OLD.stream)
        await add_stream(connection, NEW)
        await connection.js.publish("letters.a", b"new a")
        await eventually(lambda: follower.resets, "it notices that its stream is gone")
        await follower.catch_up(5.0)

        assert letters.texts == ["new a"]
        assert follower.resets == 1
        await eventually(lambda: letters.looked == 4, "it has looked again with the new consumer")
        await connection.js.publish("letters.a", b"newer a")
        await eventually(lambda: letters.texts == ["new a", "newer a"], "it follows the new stream")
    assert _breaks(OLD, NEW) == 0
    assert (await connection.js.stream_info(NEW.stream)).state.consumer_count == 0


async def test_a_consumer_of_a_stream_that_holds_nothing_of_it_any_more_is_given_up(
    connection: Connection,
) -> None:
    """The broker makes a consumer for any subject: this one would be silent for good, and look caught up."""
    letters = Letters()
    places = iter([OLD, NEW])
    await add_stream(connection, OLD, "others.>")
    await add_stream(connection, NEW)
    await connection.js.publish("letters.a", b"new a")

    async def find() -> StreamPlace:
        letters.place = next(places, letters.place)
        return await letters.find()

    follower = letters.following(connection)
    follower._find = find
    async with follower:
        await follower.caught_up()

        assert letters.texts == ["new a"]
        assert (await connection.js.stream_info(OLD.stream)).state.consumer_count <= 1
        assert (await connection.js.stream_info(NEW.stream)).state.consumer_count == 1


async def test_a_follower_waits_until_its_stream_can_be_found(connection: Connection) -> None:
    letters = Letters()
    outcomes: Iterator[Exception | None] = iter([TimeoutError(), TimeoutError(), None])

    async def find() -> StreamPlace:
        if error := next(outcomes, None):
            raise error
        return NEW

    await add_stream(connection, NEW)
    await connection.js.publish("letters.a", b"new a")
    follower = letters.following(connection)
    follower._find = find
    async with follower:
        await follower.caught_up()

        assert letters.texts == ["new a"]
        assert follower.resets == 0


def _breaks(*places: StreamPlace) -> float:
    """Return how often streams went back, by the metrics."""
    values = (REGISTRY.get_sample_value(BREAKS, {"stream": place.stream}) for place in places)
    return sum(value or 0.0 for value in values)
