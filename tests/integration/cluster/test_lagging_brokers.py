"""A broker that missed what others stored is not believed about the history; a healthy leader is."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import nats
import pytest
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig, StreamInfo

from sluiceway.messaging import history_loss
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.history_loss import NoQuorum, settled
from sluiceway.messaging.jetstream_api import last_sequence
from sluiceway.messaging.stream_follower import Follower
from tests.support.answering_client import AnsweringClient
from tests.support.clusters import Cluster, ClusterServer, cluster
from tests.support.waiting import eventually

LETTERS = StreamConfig(name="LETTERS", subjects=["letters.>"], num_replicas=3)
#: They wait in the socket of a frozen broker, which answers them before it hears of another leader, or after.
QUESTIONS = 20


async def test_a_leader_that_was_frozen_is_not_believed_and_a_healthy_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_loss, "CONFIRMED_SECONDS", 1.0)
    async with cluster(tmp_path) as running:
        await write(running, b"1", running.servers, create=True)
        frozen = await running.leader("LETTERS")
        client = await nats.connect(frozen.url, ping_interval=60, allow_reconnect=False)
        js = client.jetstream(timeout=60)
        frozen.pause()
        questions = [asyncio.create_task(js.stream_info("LETTERS")) for _ in range(QUESTIONS)]
        ends = [
            asyncio.create_task(client.request("$JS.API.STREAM.INFO.LETTERS", timeout=60))
            for _ in range(QUESTIONS)
        ]
        await write(running, b"2", running.others(frozen.name))

        frozen.resume()
        answers = await asyncio.gather(*questions)
        for answer in await asyncio.gather(*ends):
            with suppress(NoQuorum):
                assert await end_in(answer.data) == 2

        for stale in filter(is_behind, answers):
            with pytest.raises(NoQuorum):
                await settled(Answer(stale), is_behind)
        await running.wait_in_sync("LETTERS")
        healthy = await settled(lambda: js.stream_info("LETTERS"), lambda info: info.state.last_seq < 3)
        assert healthy.state.last_seq == 2
        await client.close()


async def test_a_stream_of_a_cluster_that_was_created_again_is_read_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_loss, "CONFIRMED_SECONDS", 1.0)
    read: list[bytes] = []
    async with cluster(tmp_path) as running, running.connection() as connection:
        await write(running, b"1", running.servers, create=True)
        async with Follower(
            connection, "LETTERS", ["letters.>"], lambda record: read.append(record.data)
        ) as follower:
            await eventually(lambda: read == [b"1"], "it is read")

            await connection.js.delete_stream("LETTERS")
            await write(running, b"2", running.servers, create=True)

            await eventually(lambda: read == [b"1", b"2"], "the new history is read", 30)
            assert follower.resets == 1


async def end_in(answer: bytes) -> int:
    """Return the end of the stream in an answer of the broker; `NoQuorum` if it proves nothing."""
    return await last_sequence(Connection(AnsweringClient(lambda _: answer)).replies, "LETTERS")


class Answer:
    """A broker that always says the same."""

    def __init__(self, info: StreamInfo) -> None:
        self._info = info

    async def __call__(self) -> StreamInfo:
        return self._info


def is_behind(info: StreamInfo) -> bool:
    return info.state.last_seq < 2


async def write(
    running: Cluster, data: bytes, servers: Sequence[ClusterServer], *, create: bool = False
) -> None:
    """Store a message through one of these servers, once they have a leader."""
    async with running.client(*servers) as client, asyncio.timeout(30):
        while True:
            try:
                if create:
                    await client.jetstream().add_stream(LETTERS)
                await client.jetstream().publish("letters.a", data)
                return
            except (NatsError, TimeoutError):
                await asyncio.sleep(0.1)
