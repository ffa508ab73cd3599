"""How streams are declared, and what becomes of those of the version before."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from sluiceway.contracts import subjects
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.streams import (
    APPLIED_BYTES_MAX,
    APPLIED_HISTORY,
    FOLLOWERS_MAX,
    declare,
    streams,
)
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker, broker_with_max_consumers
from tests.support.waiting import eventually

#: Streams that processes of each region read, or clients.
FOLLOWED = (
    subjects.FEATURES_STREAM,
    subjects.CATALOG_STREAM,
    subjects.RULES_STREAM,
    subjects.APPLIED_STREAM,
    subjects.REGIONS_STREAM,
)


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
    assert answer["config"] == {**unknown, "allow_rollup_hdrs": False, "max_consumers": FOLLOWERS_MAX}
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


@pytest.mark.parametrize("config", [c for c in streams(1) if c.name in FOLLOWED], ids=lambda c: c.name)
async def test_a_stream_of_the_version_before_takes_the_followers_of_this_one(
    connection: Connection, config: StreamConfig
) -> None:
    await connection.js.add_stream(config.evolve(max_consumers=None))

    await declare(connection.js, 1)

    assert (await connection.js.stream_info(str(config.name))).config.max_consumers == FOLLOWERS_MAX


@pytest.mark.parametrize("consumers", [5_000, 50_000])
async def test_the_operator_says_how_many_consumers_a_stream_takes(
    connection: Connection, consumers: int
) -> None:
    await connection.js.add_stream(
        StreamConfig(name=subjects.RULES_STREAM, subjects=[subjects.RULES], max_consumers=consumers)
    )

    await declare(connection.js, 1)

    assert (await connection.js.stream_info(subjects.RULES_STREAM)).config.max_consumers == consumers


async def test_streams_are_declared_where_the_account_takes_fewer_consumers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with broker_with_max_consumers(tmp_path, 500) as broker:
        async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
            before = StreamConfig(
                name=subjects.RULES_STREAM,
                subjects=[subjects.RULES],
                allow_rollup_hdrs=True,
                allow_direct=True,
            )
            await connection.js.add_stream(before)

            await declare(connection.js, 1)

            for stream in FOLLOWED:
                config = (await connection.js.stream_info(stream)).config
                assert (config.max_consumers, config.allow_rollup_hdrs) == (-1, False)
                assert f"the stream {stream} takes as many as it does: raise max_consumers" in caplog.text


async def test_who_cannot_follow_a_full_stream_says_so_with_what_to_do_and_goes_on_once_it_may(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    config = StreamConfig(name="LETTERS", subjects=["letters"], max_consumers=1)
    await connection.js.add_stream(config)
    async with Follower(connection, "LETTERS", ["letters"], lambda record: None) as first:
        await first.caught_up()
        async with Follower(connection, "LETTERS", ["letters"], lambda record: None) as second:
            await eventually(lambda: len(refusals(caplog)) == 1, "the second one is refused")
            [refusal] = refusals(caplog)

            await connection.js.update_stream(config.evolve(max_consumers=2))
            await second.caught_up()

    assert refusal.levelno == logging.WARNING
    assert refusal.getMessage() == (
        "cannot follow the stream LETTERS, trying again: it takes no more consumers; raise max_consumers of "
        "the stream or of its account"
    )
    assert len(refusals(caplog)) == 1


def refusals(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if "cannot follow" in record.message]
