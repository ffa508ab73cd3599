"""The first stream of rules is deleted by hand, or loses what it says of the others."""

import logging
from collections.abc import AsyncIterator

import pytest

from sluiceway.contracts import subjects
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.messaging.rules_declaration import RulesDeclaration
from sluiceway.messaging.rules_streams import COUNT_METADATA, RulesStreams
from sluiceway.messaging.streams import declare, rules_config
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.rules_streams import assert_complete, save_regions, set_metadata

REGIONS = [f"region-{number}" for number in range(10)]
STREAMS = RulesStreams(3)


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await declare(connection.js, 1)
        await save_regions(connection, REGIONS)
        await declare(connection.js, 1, rules_streams=STREAMS.groups)
        yield connection


async def test_without_a_setting_the_streams_that_are_left_tell_the_number(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await connection.js.delete_stream(subjects.RULES_STREAM)
    left = await connection.js.stream_info(STREAMS.names[1])

    await declare(connection.js, 1)

    await assert_complete(connection, 3, REGIONS)
    assert (await connection.js.stream_info(STREAMS.names[1])).created == left.created
    assert [record.levelno for record in caplog.records if "3" in record.getMessage()] == [logging.WARNING]


@pytest.mark.parametrize("count", [None, "5", "1"])
@pytest.mark.parametrize(("wanted", "groups"), [(None, 3), (1, 1), (3, 3), (4, 4)])
async def test_a_first_stream_whose_subjects_are_of_another_number_than_it_says_is_created_again(
    connection: Connection, count: str | None, wanted: int | None, groups: int
) -> None:
    await set_metadata(connection, {COUNT_METADATA: count} if count else {})

    await declare(connection.js, 1, rules_streams=wanted)

    await assert_complete(connection, groups, REGIONS)


@pytest.mark.parametrize("count", [None, "5"])
async def test_nothing_is_changed_by_what_such_a_stream_says(
    connection: Connection, count: str | None
) -> None:
    """The other streams still tell the number, and hold what regions need."""
    await set_metadata(connection, {COUNT_METADATA: count} if count else {})
    declaration = RulesDeclaration(connection.js, rules_config(1))

    assert not await declaration.complete()

    assert declaration.problem
    for name in STREAMS.names[1:]:
        assert (await connection.js.stream_info(name)).config.metadata[COUNT_METADATA] == "3"  # type: ignore[index]


async def test_a_single_stream_with_more_subjects_than_ours_is_whole(connection: Connection) -> None:
    await declare(connection.js, 1, rules_streams=1)
    info = f"$JS.API.STREAM.INFO.{subjects.RULES_STREAM}"
    config = (await request_jetstream(connection.client, info))["config"]
    more = {**config, "subjects": [subjects.RULES, "more"]}
    await request_jetstream(connection.client, info.replace("INFO", "UPDATE"), more)
    created = (await connection.js.stream_info(subjects.RULES_STREAM)).created

    await declare(connection.js, 1)

    assert (await connection.js.stream_info(subjects.RULES_STREAM)).created == created


async def test_where_nothing_is_left_a_running_scheduler_knows_the_number(connection: Connection) -> None:
    declaration = RulesDeclaration(connection.js, rules_config(1))
    await declaration.complete()
    for name in STREAMS.names:
        await connection.js.delete_stream(name)

    assert not await declaration.complete()
    assert declaration.problem == "the stream KV_RULES is missing"
    await declaration.declare(None)

    assert declaration.problem is None
    await assert_complete(connection, 3, REGIONS)
