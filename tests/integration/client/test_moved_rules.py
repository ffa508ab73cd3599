"""Clients of a region whose rules are spread over several streams, also while their number changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from prometheus_client import REGISTRY

from sluiceway.client.region_client import RegionClient
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.jetstream_api import API
from tests.support.brokers import Broker
from tests.support.spread_rules import (
    REGIONS,
    declared_streams,
    delete_rules,
    mark_complete,
    publish_rules,
    spread_rules,
)
from tests.support.waiting import eventually

BREAKS = "sluiceway_history_breaks_total"
KEY = FeatureKey(FeatureKind.GATE, "checkout")


@pytest.fixture
async def connection(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    async with declared_streams(broker, monkeypatch) as connection:
        yield connection


@asynccontextmanager
async def client_of(connection: Connection, rules: RegionRules) -> AsyncIterator[RegionClient]:
    async with RegionClient(connection, rules, instance="one") as client:
        await client.caught_up()
        yield client


async def applied(rules: RegionRules, revision: int) -> None:
    await eventually(lambda: rules.revision(KEY) == revision, f"revision {revision} is applied")


async def publish(connection: Connection, revision: int, epoch: int) -> None:
    for region in REGIONS:
        await publish_rules(connection.js, region, KEY, revision)
        await mark_complete(connection.js, region, epoch)


@pytest.mark.parametrize("groups", [1, 3])
async def test_each_region_follows_the_stream_of_its_group(connection: Connection, groups: int) -> None:
    streams = await spread_rules(connection.js, groups, REGIONS)
    assert {streams.group_of(region) for region in REGIONS} == set(range(groups))
    await publish(connection, revision=5, epoch=1)

    for region in REGIONS:
        rules = RegionRules(region)
        async with client_of(connection, rules):
            assert rules.revision(KEY) == 5
            assert await _consumers(connection, streams.names) == {streams.of(region): 1}
            await publish_rules(connection.js, region, KEY, 6)
            await applied(rules, 6)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2)])
async def test_a_client_keeps_its_rules_while_the_number_of_streams_changes(
    connection: Connection, before: int, after: int
) -> None:
    breaks = _breaks()
    await spread_rules(connection.js, before, REGIONS)
    await publish(connection, revision=50, epoch=1)
    for region in REGIONS:  # sequences of the new stream are smaller
        await publish_rules(connection.js, region, KEY, 51)
    everywhere = [RegionRules(region) for region in REGIONS]
    a, b, c = everywhere
    async with client_of(connection, a) as first, client_of(connection, b), client_of(connection, c) as last:
        assert [rules.revision(KEY) for rules in everywhere] == [51] * 3

        await spread_rules(connection.js, after, REGIONS)
        await eventually(lambda: first.missing and last.missing, "they have read the new streams")
        assert [rules.revision(KEY) for rules in everywhere] == [51] * 3
        assert not first.is_complete()
        for region in REGIONS:
            await publish_rules(connection.js, region, KEY, 52)
        assert [rules.revision(KEY) for rules in everywhere] == [51] * 3
        for region in REGIONS:
            await mark_complete(connection.js, region, epoch=2)

        await eventually(
            lambda: all(rules.revision(KEY) == 52 and rules.epoch == 2 for rules in everywhere),
            "they take over the complete sets",
        )
        assert first.is_complete()
    assert _breaks() == breaks


async def test_a_client_resumes_where_it_was_and_notices_a_change_while_it_was_away(
    connection: Connection, tmp_path: Path
) -> None:
    breaks = _breaks()
    await spread_rules(connection.js, 3, REGIONS)
    await publish(connection, revision=5, epoch=1)
    async with client_of(connection, RegionRules("dev", tmp_path)):
        pass

    resumed = RegionRules("dev", tmp_path)
    async with client_of(connection, resumed) as client:
        assert client._follower.resets == 0
        assert resumed.revision(KEY) == 5
    await spread_rules(connection.js, 2, REGIONS)
    moved = RegionRules("dev", tmp_path)
    async with client_of(connection, moved) as client:
        assert (client._follower.resets, moved.revision(KEY)) == (1, 5)
        await publish(connection, revision=6, epoch=2)
        await applied(moved, 6)
    assert _breaks() == breaks


async def test_a_client_waits_while_the_streams_are_being_changed(connection: Connection) -> None:
    rules = RegionRules("dev")
    await spread_rules(connection.js, 3, REGIONS)
    await publish(connection, revision=5, epoch=1)
    async with client_of(connection, rules) as client:
        await delete_rules(connection.js)
        await eventually(lambda: not client._follower.is_current, "it notices")
        assert rules.revision(KEY) == 5

        await spread_rules(connection.js, 3, REGIONS)
        await publish(connection, revision=6, epoch=2)

        await applied(rules, 6)


async def test_the_number_of_streams_is_read_for_each_consumer_and_not_for_changes(
    connection: Connection,
) -> None:
    requests: list[str] = []

    async def count(request: Msg) -> None:
        requests.append(request.subject)

    await publish(connection, revision=1, epoch=1)
    await connection.client.subscribe(f"{API}.STREAM.>", cb=count)
    rules = RegionRules("dev")
    async with client_of(connection, rules):
        for revision in range(2, 102):
            await publish_rules(connection.js, "dev", KEY, revision)
        await applied(rules, 101)
        await eventually(lambda: len(requests) >= 3, "it has looked again with its consumer")

        assert requests == [f"{API}.STREAM.INFO.{subjects.RULES_STREAM}"] * 3


async def _consumers(connection: Connection, streams: tuple[str, ...]) -> dict[str, int]:
    counts = {stream: (await connection.js.stream_info(stream)).state.consumer_count for stream in streams}
    return {stream: count for stream, count in counts.items() if count}


def _breaks() -> float:
    """Return how often streams went back, by the metrics."""
    names = map(subjects.rules_stream, range(3))
    values = (REGISTRY.get_sample_value(BREAKS, {"stream": name}) for name in names)
    return sum(value or 0.0 for value in values)
