"""How streams are declared, and what becomes of those of the version before."""

from collections.abc import AsyncIterator

import pytest
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from sluiceway.contracts import subjects
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.messaging.streams import APPLIED_BYTES_MAX, APPLIED_HISTORY, declare, streams
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        yield connection


async def test_no_message_deletes_others_of_its_stream(connection: Connection) -> None:
    await declare(connection.js, 1)

    for config in streams(1):
        assert config.subjects
        pattern = config.subjects[0]
        subject = pattern.replace(">", "a.b").replace("*", "a")
        await connection.js.publish(subject, b"")
        for scope in ("all", "sub"):
            with pytest.raises(APIError, match="rollup"):
                await connection.js.publish(subject, b"", headers={"Nats-Rollup": scope})
        assert (await connection.js.stream_info(str(config.name))).state.messages == 1


async def test_a_bucket_of_the_version_before_loses_only_its_rollup(connection: Connection) -> None:
    """The operator's settings stay, also those that the driver does not know."""
    before = StreamConfig(
        name=subjects.RULES_STREAM,
        subjects=[subjects.RULES],
        max_msgs_per_subject=1,
        max_bytes=10_000_000,
        allow_direct=True,
        allow_rollup_hdrs=True,
    )
    await connection.js.add_stream(before)
    info = f"$JS.API.STREAM.INFO.{subjects.RULES_STREAM}"
    known = (await request_jetstream(connection.client, info))["config"]
    unknown = {**known, "consumer_limits": {"inactive_threshold": 60_000_000_000}}
    await request_jetstream(connection.client, info.replace("INFO", "UPDATE"), unknown)
    await connection.js.publish(subjects.rules_of("dev").replace(">", "complete"), b"{}")

    await declare(connection.js, 1)

    answer = await request_jetstream(connection.client, info)
    assert answer["config"] == {**unknown, "allow_rollup_hdrs": False}
    assert answer["state"]["messages"] == 1


async def test_reports_of_the_version_before_get_the_bounds_of_this_one(connection: Connection) -> None:
    before = StreamConfig(
        name=subjects.APPLIED_STREAM,
        subjects=[subjects.APPLIED],
        max_msgs_per_subject=64,
        max_msg_size=65_536,
        max_age=60,
        max_bytes=10_000_000,
        allow_direct=True,
    )
    await connection.js.add_stream(before)

    await declare(connection.js, 1)

    config = (await connection.js.stream_info(subjects.APPLIED_STREAM)).config
    assert (config.max_msgs_per_subject, config.max_msg_size) == (APPLIED_HISTORY, APPLIED_BYTES_MAX)
    assert config.max_bytes == 10_000_000
