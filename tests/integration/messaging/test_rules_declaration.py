"""How the streams of rules are declared: one or several, another number, new regions."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from sluiceway.contracts import subjects
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.messaging.rules_declaration import RulesDeclaration
from sluiceway.messaging.rules_streams import COUNT_METADATA, RulesStreams, read_rules_streams
from sluiceway.messaging.stream_placeholders import PLACEHOLDER
from sluiceway.messaging.streams import FOLLOWERS_MAX, declare, rules_config
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.rules_streams import assert_complete, save_regions

REGIONS = [f"region-{number}" for number in range(40)]
#: Requests that change a stream.
CHANGING = ("STREAM.CREATE.", "STREAM.DELETE.", "STREAM.UPDATE.")


class Killed(Exception):
    """The process ends here."""


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await declare(connection.js, 1)
        await save_regions(connection, REGIONS)
        yield connection


@pytest.fixture
def declaration(connection: Connection) -> RulesDeclaration:
    return a_process(connection)


def a_process(connection: Connection) -> RulesDeclaration:
    return RulesDeclaration(connection.js, rules_config(1))


async def test_who_says_nothing_gets_one_stream_without_metadata_of_ours(connection: Connection) -> None:
    await assert_complete(connection, 1, REGIONS)
    config = (await connection.js.stream_info(subjects.RULES_STREAM)).config
    assert COUNT_METADATA not in (config.metadata or {})


async def test_rules_are_spread_and_gathered_again(connection: Connection) -> None:
    for count in (16, 4, 1):
        await declare(connection.js, 1, rules_streams=count)
        await assert_complete(connection, count, REGIONS)


async def test_each_stream_has_the_settings_of_a_single_one(connection: Connection) -> None:
    await declare(connection.js, 1, rules_streams=3)

    for name in RulesStreams(3).names:
        config = (await connection.js.stream_info(name)).config
        assert (config.max_msgs_per_subject, config.allow_direct) == (1, True)
        assert (config.max_consumers, config.allow_rollup_hdrs) == (FOLLOWERS_MAX, False)


@pytest.mark.parametrize("wanted", [None, 3])
async def test_the_same_number_changes_nothing(connection: Connection, wanted: int | None) -> None:
    await declare(connection.js, 1, rules_streams=3)
    await assert_complete(connection, 3, REGIONS)

    with Changes(connection.client) as changes:
        await declare(connection.js, 1, rules_streams=wanted)

    assert changes.subjects == []
    infos = [await connection.js.stream_info(name) for name in RulesStreams(3).names]
    assert sum(info.state.messages for info in infos) == len(REGIONS)


async def test_a_change_of_the_number_is_a_warning_with_both_numbers(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await declare(connection.js, 1, rules_streams=3)

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "changing the number of streams that hold the rules from 1 to 3: all rules are written again, and "
        "until then regions keep those that they have"
    ]


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 2), (3, 1)])
async def test_a_scheduler_that_was_killed_at_any_step_leaves_what_the_next_one_repairs(
    connection: Connection, before: int, after: int
) -> None:
    steps = 0
    while True:
        await a_process(connection).declare(before)
        with Changes(connection.client, allowed=steps) as changes, contextlib.suppress(Killed):
            await a_process(connection).declare(after)
        if not changes.is_killed:
            break
        await a_process(connection).declare(after)
        await assert_complete(connection, after, REGIONS)
        steps += 1

    assert steps >= 4


@pytest.mark.parametrize("next_count", [None, 2, 5])
async def test_who_continues_a_change_may_want_another_number(
    connection: Connection, next_count: int | None
) -> None:
    for steps in range(5):
        await a_process(connection).declare(1)
        with Changes(connection.client, allowed=steps), pytest.raises(Killed):
            await a_process(connection).declare(4)

        await a_process(connection).declare(next_count)

        has_created = steps >= 2
        await assert_complete(connection, next_count or (4 if has_created else 1), REGIONS)


async def test_nobody_can_tell_the_number_during_a_change(connection: Connection) -> None:
    """Else someone would follow streams that are about to be deleted."""
    await a_process(connection).declare(3)
    for steps in range(1, 5):
        with Changes(connection.client, allowed=steps), pytest.raises(Killed):
            await a_process(connection).declare(2)

        with pytest.raises(APIError, match="stream not found"):
            await read_rules_streams(connection.replies)

        await a_process(connection).declare(3)


async def test_a_change_that_stops_again_and_again_comes_further_each_time(connection: Connection) -> None:
    """In a cluster without one of its servers many creations take longer than their answer is waited for."""
    declaration = RulesDeclaration(connection.js, rules_config(1))
    for _ in range(2 + 16):
        with Changes(connection.client, allowed=1), contextlib.suppress(Killed):
            await declaration.declare(16)

    await assert_complete(connection, 16, REGIONS)


@pytest.mark.parametrize("counts", [(3, 3), (3, 3, 3, 3), (3, 5), (1, 4), (1, 1, 1)])
async def test_schedulers_that_declare_at_the_same_time_agree(
    connection: Connection, counts: tuple[int, ...]
) -> None:
    await connection.js.delete_stream(subjects.RULES_STREAM)

    await asyncio.gather(*(declare(connection.js, 1, rules_streams=count) for count in counts))

    streams = await read_rules_streams(connection.replies)
    assert streams.groups in counts
    await assert_complete(connection, streams.groups, REGIONS)


@pytest.mark.parametrize("steps", [0, 2, 4, 6])
async def test_two_changes_that_run_into_each_other_end_with_one_number(
    broker: Broker, connection: Connection, steps: int
) -> None:
    """One stops in the middle while the other runs, then goes on with what it knew."""
    await RulesDeclaration(connection.js, rules_config(1)).declare(2)
    go_on = asyncio.Event()
    async with connected(BrokerSettings(nats_url=broker.url), "late") as late:
        with Changes(late.client, allowed=steps, until=go_on) as changes:
            changing = asyncio.create_task(declare(late.js, 1, rules_streams=4))
            await asyncio.wait(
                {changing, asyncio.create_task(changes.reached.wait())}, return_when="FIRST_COMPLETED"
            )
            await declare(connection.js, 1, rules_streams=3)
            go_on.set()
            await changing

    streams = await read_rules_streams(connection.replies)
    assert streams.groups in (3, 4)
    await assert_complete(connection, streams.groups, REGIONS)


async def test_a_new_region_gets_its_subject_and_the_others_lose_nothing(
    connection: Connection, declaration: RulesDeclaration
) -> None:
    await declaration.declare(4)
    await assert_complete(connection, 4, REGIONS)
    await save_regions(connection, ["new"])

    assert await declaration.complete()

    assert not await declaration.complete()
    infos = [await connection.js.stream_info(name) for name in RulesStreams(4).names]
    assert sum(info.state.messages for info in infos) == len(REGIONS)
    await assert_complete(connection, 4, [*REGIONS, "new"])


async def test_what_is_no_region_gets_no_subject(connection: Connection) -> None:
    """It could overlap with the subject of a region in another stream."""
    await connection.js.publish(subjects.catalogue("region", f"{REGIONS[0]}.x"), b"{}")

    await RulesDeclaration(connection.js, rules_config(1)).declare(4)

    await assert_complete(connection, 4, REGIONS)


async def test_a_new_region_changes_no_other_setting_of_its_stream(
    connection: Connection, declaration: RulesDeclaration
) -> None:
    await declaration.declare(2)
    name = RulesStreams(2).of("new")
    info = f"$JS.API.STREAM.INFO.{name}"
    known = (await request_jetstream(connection.client, info))["config"]
    set_by_operator = {
        **known,
        "max_bytes": 10_000_000,
        "consumer_limits": {"inactive_threshold": 60_000_000_000},
    }
    await request_jetstream(connection.client, info.replace("INFO", "UPDATE"), set_by_operator)
    await save_regions(connection, ["new"])

    await declaration.complete()

    config = (await request_jetstream(connection.client, info))["config"]
    assert config == {**set_by_operator, "subjects": [*known["subjects"], subjects.rules_of("new")]}


async def test_a_region_that_was_deleted_keeps_its_subject(
    connection: Connection, declaration: RulesDeclaration
) -> None:
    await declaration.declare(2)
    await connection.js.purge_stream(subjects.CATALOG_STREAM)

    assert not await declaration.complete()

    await assert_complete(connection, 2, REGIONS)


async def test_an_update_that_another_scheduler_has_undone_is_made_again(
    connection: Connection, declaration: RulesDeclaration
) -> None:
    await declaration.declare(2)
    name = RulesStreams(2).of("new")
    before = (await connection.js.stream_info(name)).config
    await save_regions(connection, ["new"])
    await declaration.complete()
    await connection.js.update_stream(before)

    assert await declaration.complete()

    await assert_complete(connection, 2, [*REGIONS, "new"])


async def test_a_late_update_for_another_number_misleads_nobody(
    connection: Connection, declaration: RulesDeclaration
) -> None:
    """It lists a region in a stream that is not its own, and rules were stored there."""
    await declaration.declare(3)
    streams, new = RulesStreams(3), "new"
    wrong = streams.names[(streams.group_of(new) + 1) % 3]
    assert wrong != subjects.RULES_STREAM
    config = (await connection.js.stream_info(wrong)).config
    late = {"subjects": [*(config.subjects or []), subjects.rules_of(new)], "metadata": {COUNT_METADATA: "4"}}
    await connection.js.update_stream(config.evolve(**late))
    await connection.js.publish(subjects.complete_set(new), b"{}")
    await save_regions(connection, [new])

    await declaration.complete()
    await declaration.complete()

    await assert_complete(connection, 3, [*REGIONS, new])
    assert (await connection.js.stream_info(wrong)).state.messages < len(REGIONS)


@pytest.mark.parametrize(("before", "after"), [(4, 16), (16, 4), (3, 4), (2, 1)])
async def test_no_stream_survives_a_change_of_the_number(
    connection: Connection, before: int, after: int
) -> None:
    """Its readers notice by that: also one of a region that no stream lists yet."""
    await a_process(connection).declare(before)
    streams = {name: await connection.js.stream_info(name) for name in RulesStreams(before).names}

    await a_process(connection).declare(after)

    for name in {*streams} & {*RulesStreams(after).names}:
        assert (await connection.js.stream_info(name)).created != streams[name].created


async def test_a_stream_that_was_lost_is_created_and_one_too_many_deleted(
    connection: Connection, declaration: RulesDeclaration
) -> None:
    await declaration.declare(3)
    await connection.js.delete_stream(subjects.rules_stream(2))
    await connection.js.add_stream(
        StreamConfig(name=subjects.rules_stream(7), subjects=[subjects.checkpoint(7)])
    )

    assert await declaration.complete()

    await assert_complete(connection, 3, REGIONS)


async def test_nothing_is_created_while_the_first_stream_is_missing(
    connection: Connection, declaration: RulesDeclaration
) -> None:
    """Another scheduler changes the number at this moment."""
    await declaration.declare(3)
    await connection.js.delete_stream(subjects.RULES_STREAM)
    with Changes(connection.client) as changes:
        assert not await declaration.complete()
    assert changes.subjects == []


async def test_the_first_stream_that_goes_while_the_others_are_completed_is_not_created_by_that(
    connection: Connection, declaration: RulesDeclaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else there would be the old number in the middle of a change to another one."""
    await declaration.declare(3)
    list_places = declaration._places

    async def places(streams: RulesStreams) -> list[set[str]]:
        await connection.js.delete_stream(subjects.RULES_STREAM)
        return await list_places(streams)

    monkeypatch.setattr(declaration, "_places", places)
    await declaration.complete()

    with pytest.raises(APIError, match="stream not found"):
        await read_rules_streams(connection.replies)


@pytest.mark.parametrize("text", ["many", "0", "1000"])
async def test_a_number_that_this_version_does_not_know_is_replaced_by_the_setting(
    connection: Connection, declaration: RulesDeclaration, text: str
) -> None:
    config = (await connection.js.stream_info(subjects.RULES_STREAM)).config
    await connection.js.update_stream(config.evolve(metadata={COUNT_METADATA: text}))
    with pytest.raises(APIError, match="set SLUICEWAY_RULES_STREAMS to the number that you want"):
        await declaration.declare(None)

    await declaration.declare(3)

    await assert_complete(connection, 3, REGIONS)


class Changes:
    """Records the requests of a client that change a stream; after some, ends it or makes it wait.

    Placeholders do not count: they change nothing.
    """

    def __init__(
        self, client: Client, allowed: int | None = None, until: asyncio.Event | None = None
    ) -> None:
        self.subjects: list[str] = []
        self.is_killed = False
        self.reached = asyncio.Event()
        self._client = client
        self._allowed = allowed
        self._until = until
        self._request: Callable[..., Awaitable[Msg]] = client.request

    def __enter__(self) -> "Changes":
        self._client.request = self._counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *exc_info: object) -> None:
        del self._client.request

    async def _counted(self, subject: str, *args: Any, **kwargs: Any) -> Msg:
        if any(changing in subject for changing in CHANGING) and not is_proof(subject, args):
            if self._allowed is not None and len(self.subjects) >= self._allowed:
                self.reached.set()
                if self._until is None:
                    self.is_killed = True
                    raise Killed
                await self._until.wait()
            self.subjects.append(subject)
        return await self._request(subject, *args, **kwargs)


def is_proof(subject: str, args: tuple[bytes, ...]) -> bool:
    """Return whether a request only finds out what could be created."""
    return PLACEHOLDER in subject or PLACEHOLDER.encode() in b"".join(args)
