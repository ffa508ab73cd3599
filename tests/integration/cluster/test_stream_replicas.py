"""How many replicas streams get on one broker and on clusters, and what becomes of those that exist."""

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from sluiceway.contracts import subjects
from sluiceway.messaging.stream_replicas import PLACEMENT_STREAM
from sluiceway.messaging.streams import declare, streams
from sluiceway.tasks import cancel_and_wait
from tests.support.brokers import Broker
from tests.support.clusters import cluster
from tests.support.system import driving

NAMES = {str(config.name) for config in streams(1)}


async def replicas_of(js: JetStreamContext) -> dict[str, int]:
    return {str(info.config.name): info.config.num_replicas or 0 for info in await js.streams_info()}


async def write(js: JetStreamContext, stored: set[int]) -> None:
    """Write into FEATURES until cancelled; note the sequences that were acknowledged."""
    while True:
        with contextlib.suppress(NatsError, TimeoutError):  # its replicas elect a leader
            stored.add((await js.publish("sluiceway.features.gate.g", b"{}", timeout=1)).seq)


async def test_streams_get_three_replicas_while_they_are_in_use_and_lose_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with cluster(tmp_path) as running, driving(running.url) as driver:
        js = driver.connection.js
        assert await declare(js, 1, rules_streams=2) == 1
        await js.publish("sluiceway.features.gate.g", b"{}")
        stored: set[int] = set()
        writing = asyncio.create_task(write(js, stored))

        both = await asyncio.gather(declare(js, None), declare(js, None))  # as two schedulers do

        await cancel_and_wait(writing)
        assert tuple(both) == (3, 3)
        names = {*NAMES, f"{subjects.RULES_STREAM}_1"}
        assert await replicas_of(js) == dict.fromkeys(names, 3)
        assert PLACEMENT_STREAM not in names
        await running.wait_in_sync(subjects.FEATURES_STREAM)
        state = (await js.stream_info(subjects.FEATURES_STREAM)).state
        assert state.num_deleted in (0, None)
        assert state.last_seq >= max(stored) >= len(stored) > 0
        name = driver.connection.client._server_info["cluster"]
        assert f"streams have 3 replicas: the cluster {name} has as many brokers, or more" in caplog.text
        caplog.clear()

        assert await declare(js, 1) == 1
        assert await declare(js, None) == 3

        assert await replicas_of(js) == dict.fromkeys(names, 3)
        warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert sorted(text.split()[2] for text in warned) == sorted(names)
        assert (
            "the stream FEATURES keeps its 3 replicas, although 1 were asked for: set "
            "SLUICEWAY_STREAM_REPLICAS=3, or take replicas away with "
            "`nats stream edit FEATURES --replicas=1`" in warned
        )


async def test_one_broker_gets_one_replica_and_the_log_says_why(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with driving(broker.url) as driver:
        assert await declare(driver.connection.js, None) == 1

        assert await replicas_of(driver.connection.js) == dict.fromkeys(NAMES, 1)
    assert "streams have 1 replicas: the broker is not a member of a cluster" in caplog.text


async def test_a_cluster_of_two_gets_one_replica_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(tmp_path, 2) as running, driving(running.url) as driver:
        assert await declare(driver.connection.js, None) == 1

    assert "cannot store a stream on 3 brokers now" in caplog.text
    assert "set SLUICEWAY_STREAM_REPLICAS" in caplog.text


async def test_flags_that_a_stream_lacks_are_set_whoever_created_it(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        js = driver.connection.js
        await js.add_stream(StreamConfig(name=subjects.FEATURES_STREAM, subjects=[subjects.FEATURES]))
        await js.add_stream(
            StreamConfig(
                name=subjects.SESSIONS_STREAM, subjects=[subjects.ENDED_SESSIONS, subjects.USED_SIGN_INS]
            )
        )

        await declare(js, None)

        log = (await js.stream_info(subjects.FEATURES_STREAM)).config
        sessions = (await js.stream_info(subjects.SESSIONS_STREAM)).config
        assert (log.allow_direct, log.deny_delete, log.deny_purge) == (True, True, True)
        assert (sessions.allow_direct, sessions.allow_msg_ttl) == (True, True)
