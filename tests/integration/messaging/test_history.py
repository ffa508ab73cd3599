"""Histories that are larger than a broker lets wait for one connection."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.js.api import StreamConfig

from services.local.broker import EmbeddedBroker
from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.errors import InvalidEvent, Unavailable
from sluiceway.messaging import history, read_slots
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.history import read_history, read_records
from sluiceway.messaging.read_slots import ReadSlots
from sluiceway.settings import BrokerSettings
from tests.support.brokers import broker_with_max_pending

STREAM = subjects.FEATURES_STREAM
SUBJECT = subjects.feature(FeatureKey(FeatureKind.GATE, "large"))
#: As many bytes as the broker lets wait; together the messages have more than twice as many.
MAX_PENDING = 12 * 1024 * 1024
MESSAGE = bytes(300_000)
COUNT = 100


@pytest.fixture
def narrow_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with broker_with_max_pending(tmp_path, MAX_PENDING) as broker:
        yield broker


@pytest.fixture
async def connection(narrow_broker: EmbeddedBroker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=narrow_broker.url), "tests") as connection:
        await connection.js.add_stream(StreamConfig(name=STREAM, subjects=[SUBJECT], allow_direct=True))
        for _ in range(COUNT):
            await connection.js.publish(SUBJECT, MESSAGE)
        yield connection


def reconnects(connection: Connection) -> int:
    return int(connection.client.stats["reconnects"])


async def test_a_large_history_is_read_without_losing_the_connection(connection: Connection) -> None:
    found = await read_history(connection.js, STREAM, SUBJECT)

    assert [sequence for sequence, _ in found] == list(range(1, COUNT + 1))
    assert all(data == MESSAGE for _, data in found)
    assert reconnects(connection) == 0


async def test_many_large_histories_are_read_at_the_same_time(connection: Connection) -> None:
    async def count() -> int:
        return len([record async for record in read_records(connection.js, STREAM, SUBJECT)])

    assert await asyncio.gather(*(count() for _ in range(20))) == [COUNT] * 20
    assert reconnects(connection) == 0


async def test_a_part_of_a_history_is_read_up_to_its_end(connection: Connection) -> None:
    records = read_records(connection.js, STREAM, SUBJECT, after=30, until=60)

    assert [record.sequence async for record in records] == list(range(31, 61))


async def test_small_batches_miss_no_message(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BATCH", 3)

    found = await read_history(connection.js, STREAM, SUBJECT)

    assert [sequence for sequence, _ in found] == list(range(1, COUNT + 1))


async def test_a_message_that_is_larger_than_a_batch_is_read(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "BATCH_BYTES", 1_000)
    largest = bytes(connection.client.max_payload)
    await connection.js.publish(SUBJECT, largest)

    (found,) = await read_history(connection.js, STREAM, SUBJECT, after=COUNT)

    assert found == (COUNT + 1, largest)


async def test_many_single_events_are_read_at_the_same_time(connection: Connection) -> None:
    log = FeatureLog(connection, "tests")

    found = await asyncio.gather(*(log.at(n + 1) for n in range(COUNT)), return_exceptions=True)

    assert {type(error) for error in found} == {InvalidEvent}  # read, and not an event
    assert reconnects(connection) == 0


async def test_nobody_waits_for_ever_for_those_who_read(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_slots, "WAIT_SECONDS", 0.01)
    slots = ReadSlots(1)

    async with slots.of(connection.client):
        with pytest.raises(Unavailable, match="too many others read the streams"):
            async with slots.of(connection.client):
                pass

    async with slots.of(connection.client):  # it is free again
        pass
