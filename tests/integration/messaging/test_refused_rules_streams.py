"""More streams of rules than an account takes: what is there stays, and what another one created, too."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from services.local.broker import EmbeddedBroker
from sluiceway.contracts import subjects
from sluiceway.messaging import rules_declaration, streams
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.rules_declaration import REFUSALS_MAX, RulesDeclaration
from sluiceway.messaging.stream_placeholders import PLACEHOLDER
from sluiceway.messaging.streams import declare, rules_config
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.rules_streams import assert_complete, save_regions

REGIONS = [f"region-{number}" for number in range(10)]
#: The account takes so many streams more than one scheduler declares.
SPARE = 2
STREAMS_MAX = len(streams.streams(1)) + SPARE


@pytest.fixture
def limited_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker whose only user may have few streams, and may not create KV_RULES_2."""
    config = tmp_path / "broker.conf"
    config.write_text(
        f'jetstream {{store_dir: "{tmp_path / "broker" / "jetstream"}"}}\n'
        f"accounts {{A {{jetstream {{max_streams: {STREAMS_MAX}}}, users: [\n"
        "  {user: all, password: p}\n"
        '  {user: few, password: p, permissions: {publish: {deny: "$JS.API.STREAM.CREATE.KV_RULES_2"}}}\n'
        "]}}\nno_auth_user: all\n"
    )
    with EmbeddedBroker(tmp_path / "broker", config=config) as broker:
        yield broker


@pytest.fixture
async def connection(limited_broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=limited_broker.url), "tests") as connection:
        await declare(connection.js, 1)
        await save_regions(connection, REGIONS)
        yield connection


async def test_a_number_that_does_not_fit_is_refused_and_everything_stays(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await connection.js.publish(subjects.complete_set(REGIONS[0]), b"kept")

    await declare(connection.js, 1, rules_streams=1 + SPARE + 1)

    stored = await connection.js.get_last_msg(subjects.RULES_STREAM, subjects.complete_set(REGIONS[0]))
    assert stored.data == b"kept"
    await assert_complete(connection, 1, REGIONS)
    assert await placeholders(connection) == []
    assert (
        "cannot change the number of streams that hold the rules from 1 to 4: maximum number of streams "
        "reached; everything stays as it is until a scheduler is started again"
    ) in caplog.messages


async def test_a_number_that_fits_exactly_is_taken_and_a_smaller_one_too(connection: Connection) -> None:
    for count in (1 + SPARE, 2):
        await declare(connection.js, 1, rules_streams=count)

        await assert_complete(connection, count, REGIONS)
        assert await placeholders(connection) == []


async def test_with_every_stream_in_use_the_number_can_still_be_lowered(connection: Connection) -> None:
    await declare(connection.js, 1, rules_streams=1 + SPARE)
    await fill(connection)

    await declare(connection.js, 1, rules_streams=2)

    await assert_complete(connection, 2, REGIONS)


async def test_who_may_not_create_one_of_the_streams_deletes_none(
    limited_broker: Broker,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = limited_broker.url.replace("nats://", "nats://few:p@")
    await connection.js.publish(subjects.complete_set(REGIONS[0]), b"kept")
    async with connected(BrokerSettings(nats_url=url), "few") as few:
        await declare(few.js, 1, rules_streams=3)

    assert (await connection.js.stream_info(subjects.RULES_STREAM)).state.messages == 1
    assert any("no answer to $JS.API.STREAM.CREATE.KV_RULES_2" in text for text in caplog.messages)


async def test_what_a_scheduler_that_was_killed_has_left_takes_no_place(connection: Connection) -> None:
    for number in range(SPARE):
        subject = subjects.rules_placeholder(str(number))
        await connection.js.add_stream(StreamConfig(name=f"{PLACEHOLDER}_{number}", subjects=[subject]))

    await declare(connection.js, 1)

    assert await placeholders(connection) == []


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there is taken by somebody else after it was proved."""

    async def no_error(*_: object) -> None:
        return None

    monkeypatch.setattr(rules_declaration, "creation_error", no_error)


@pytest.mark.usefixtures("unproved")
async def test_where_creating_is_refused_again_and_again_as_many_as_before_are_created(
    connection: Connection,
) -> None:
    await declare(connection.js, 1, rules_streams=2)
    declaration = RulesDeclaration(connection.js, rules_config(1))

    for _ in range(REFUSALS_MAX):
        with pytest.raises(APIError, match="maximum number of streams"):
            await declaration.declare(8)
    await declaration.declare(8)

    await assert_complete(connection, 2, REGIONS)


@pytest.mark.usefixtures("unproved")
async def test_who_tries_again_deletes_nothing_that_another_scheduler_has_created_meanwhile(
    connection: Connection,
) -> None:
    declaration = RulesDeclaration(connection.js, rules_config(1))
    with pytest.raises(APIError, match="maximum number of streams"):
        await declaration.declare(8)
    await declare(connection.js, 1, rules_streams=1)
    created = (await connection.js.stream_info(subjects.RULES_STREAM)).created

    await declaration.declare(8)

    assert (await connection.js.stream_info(subjects.RULES_STREAM)).created == created
    await assert_complete(connection, 1, REGIONS)


async def placeholders(connection: Connection) -> list[str]:
    names = [str(info.config.name) for info in await connection.js.streams_info()]
    return [name for name in names if name.startswith(PLACEHOLDER)]


async def fill(connection: Connection) -> None:
    """Create streams until the account takes no more."""
    with contextlib.suppress(APIError):
        for number in range(STREAMS_MAX):
            await connection.js.add_stream(StreamConfig(name=f"FULL_{number}", subjects=[f"full.{number}"]))
