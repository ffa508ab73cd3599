"""Followers in a busy process, and of a silent broker; heartbeats come ten times as often here."""

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from services.local.broker import EmbeddedBroker
from sluiceway.messaging import stream_consumer, stream_follower
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_records import Record
from sluiceway.settings import BrokerSettings
from tests.support import heartbeats
from tests.support.brokers import Broker
from tests.support.heartbeats import HEARTBEAT_SECONDS
from tests.support.waiting import eventually

STREAM = "LETTERS"
#: As many heartbeats as a follower waits for, and one more.
BUSY_SECONDS = 0.5
FREEZES_SECONDS_MAX = 30 * HEARTBEAT_SECONDS
RECORDS = 300
WORK_SECONDS = 0.001
#: Ten times what should be done in a turn.
RECORDS_IN_A_TURN_MAX = round(10 * stream_consumer.TURN_SECONDS / WORK_SECONDS)


@pytest.fixture(autouse=True)
def fast_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats.make_fast(monkeypatch)


class Letters:
    """What a follower delivers."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.follower: Follower

    @property
    def last(self) -> str:
        return self.records[-1].data.decode()

    async def arrive(self, last: str) -> None:
        await eventually(lambda: self.records and self.last == last, f"{last} is delivered")


@asynccontextmanager
async def letters(url: str) -> AsyncIterator[tuple[Connection, Letters]]:
    """Follow a stream that keeps one message of each subject, like the rules of a region."""
    found = Letters()
    async with connected(BrokerSettings(nats_url=url), "tests") as connection:
        await connection.js.add_stream(
            StreamConfig(name=STREAM, subjects=["letters.>"], max_msgs_per_subject=1)
        )
        await connection.js.publish("letters.a", b"first")
        async with Follower(connection, STREAM, ["letters.>"], found.records.append) as found.follower:
            await found.follower.caught_up()
            yield connection, found


def publish_beside(url: str, texts: Sequence[str]) -> threading.Thread:
    """Publish to one subject from another thread, while the loop of this one is blocked."""

    async def publish() -> None:
        async with connected(BrokerSettings(nats_url=url), "beside") as connection:
            for text in texts:
                await connection.js.publish("letters.a", text.encode())

    thread = threading.Thread(target=lambda: asyncio.run(publish()))
    thread.start()
    return thread


async def test_what_waits_while_the_process_is_busy_counts_as_heard(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with letters(broker.url) as (connection, found):
        for number in range(2):
            beside = publish_beside(broker.url, [f"before {number}", f"newest {number}"])
            time.sleep(BUSY_SECONDS)  # noqa: ASYNC251 (the loop is to be blocked)
            beside.join()

            assert found.follower.is_caught_up
            await found.follower.catch_up(5.0)
            assert found.follower.is_current

        newest = [record.data for record in found.records if not record.data.startswith(b"before")]
        assert newest == [
            b"first",
            b"newest 0",
            b"newest 1",
        ]  # a broker may replace one before it delivers it
        assert found.follower.resets == 0
        assert (await connection.js.stream_info(STREAM)).state.consumer_count == 1
        assert "no message or heartbeat" not in caplog.text
        assert "with a new consumer" not in caplog.text


async def test_work_on_records_is_no_sign_that_the_end_of_a_stream_was_removed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_follower, "NOTHING_ARRIVES_SECONDS", 0.05)
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await connection.js.add_stream(
            StreamConfig(name=STREAM, subjects=["letters.>"], max_msgs_per_subject=1)
        )

        def work(record: Record) -> None:
            time.sleep(0.1)

        async with Follower(connection, STREAM, ["letters.>"], work) as follower:
            await follower.caught_up()
            for number in range(4):
                await connection.client.publish(f"letters.{number}", b"")
            await connection.js.publish("letters.last", b"")
            await follower.catch_up(5.0)

            assert follower.position.sequence == 5
            assert follower.resets == 0


async def test_a_broker_that_is_silent_is_noticed_and_its_next_word_is_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        async with letters(broker.url) as (connection, found):
            await eventually(lambda: found.follower.is_current, "the follower is current")
            assert broker.pid
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                await eventually(
                    lambda: not found.follower.is_current, "silence is noticed", FREEZES_SECONDS_MAX
                )
                await eventually(lambda: stopped_waiting(connection), "a ping is answered too late")
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            await eventually(lambda: found.follower.is_current, "the broker is heard again")
            await connection.js.publish("letters.a", b"after")
            await found.arrive("after")

            assert found.follower.resets == 0
            assert connection.client.stats["reconnects"] == 0
            assert (await connection.js.stream_info(STREAM)).state.consumer_count == 1
            assert caplog.text.count("no message or heartbeat") == 1


async def test_a_broker_that_is_away_is_followed_on_once_it_is_back(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with letters(broker.url) as (connection, found):
        broker.kill()
        await eventually(lambda: "no message or heartbeat" in caplog.text, "silence is noticed")
        assert not found.follower.is_current

        broker.start()
        await eventually(lambda: found.follower.is_current, "the broker is heard again")
        await connection.js.publish("letters.a", b"after")
        await found.arrive("after")

        assert found.follower.resets == 0


def stopped_waiting(connection: Connection) -> bool:
    return any(pong.cancelled() for pong in connection.client._pongs)


async def test_a_consumer_that_is_gone_is_replaced(broker: Broker) -> None:
    async with letters(broker.url) as (connection, found):
        [consumer] = await connection.js.consumers_info(STREAM)
        await connection.js.delete_consumer(STREAM, consumer.name)
        await connection.js.publish("letters.b", b"after")

        await found.arrive("after")

        assert [record.data for record in found.records] == [b"first", b"after"]
        assert found.follower.resets == 0


async def test_reading_many_records_leaves_turns_to_others(broker: Broker) -> None:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await connection.js.add_stream(StreamConfig(name=STREAM, subjects=["letters.>"]))
        for number in range(RECORDS):
            await connection.client.publish(f"letters.{number}", b"")
        read_before_turn = [0]
        read = 0

        def count(record: Record) -> None:
            nonlocal read
            read += 1
            time.sleep(WORK_SECONDS)

        async def take_turns() -> None:
            while True:
                read_before_turn.append(read)
                await asyncio.sleep(0)

        others = asyncio.create_task(take_turns())
        async with Follower(connection, STREAM, ["letters.>"], count) as follower:
            await follower.caught_up()
        others.cancel()

        turns = [later - earlier for earlier, later in itertools.pairwise(read_before_turn)]
        assert read == RECORDS
        assert max(turns) < RECORDS_IN_A_TURN_MAX


async def test_a_record_needs_no_message_queue_or_task_of_nats_py(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with letters(broker.url) as (connection, found):
        built: list[bytes] = []
        build = connection.client._build_message

        def count(sid: int, subject: bytes, *message: Any) -> Msg:
            built.append(subject)
            return build(sid, subject, *message)

        monkeypatch.setattr(connection.client, "_build_message", count)
        for number in range(RECORDS):
            await connection.client.publish(f"letters.{number}", str(number).encode())
        await found.arrive(str(RECORDS - 1))

        assert [subject for subject in built if subject.startswith(b"letters.")] == []
