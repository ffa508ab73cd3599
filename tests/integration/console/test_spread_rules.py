"""What a console shows of regions whose rules are spread over several streams; heartbeats come often here."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from services.console.region_view import RegionsView
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rules_streams import RulesStreams
from tests.support.brokers import Broker
from tests.support.builders import NOW
from tests.support.spread_rules import REGIONS, declared_streams, delete_rules, publish_rules, spread_rules
from tests.support.waiting import eventually

KEY = FeatureKey(FeatureKind.GATE, "checkout")
BREAKS = "sluiceway_history_breaks_total"


@pytest.fixture
async def connection(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    async with declared_streams(broker, monkeypatch) as connection:
        yield connection


def a_view(connection: Connection) -> RegionsView:
    return RegionsView(connection, FeatureView(connection, FeatureLog(connection, "/tests")))


def revisions(view: RegionsView) -> list[int | None]:
    """Return the revision of the rules that each region was sent."""
    held = [view.held(region).get(KEY) for region in REGIONS]
    return [rules.revision if rules else None for rules in held]


async def publish(connection: Connection, revision: int) -> None:
    for region in REGIONS:
        await publish_rules(connection.js, region, KEY, revision)


@pytest.mark.parametrize("groups", [1, 3])
async def test_all_streams_are_followed(connection: Connection, groups: int) -> None:
    await spread_rules(connection.js, groups, REGIONS)
    await publish(connection, 5)
    changes: list[tuple[str, tuple[FeatureKey, ...]]] = []
    async with a_view(connection) as view:
        view.on_change = lambda region, features: changes.append((region, features))
        await view.caught_up()
        assert revisions(view) == [5, 5, 5]
        await eventually(lambda: view.is_current, "it is current")

        await publish(connection, 6)

        await eventually(lambda: revisions(view) == [6, 6, 6], "changes are followed")
        assert sorted(changes) == sorted((region, (KEY,)) for region in REGIONS)
    assert _running() == []


async def test_instances_are_compared_with_the_stream_of_their_own_region(connection: Connection) -> None:
    """The others may be far ahead, or behind."""
    streams = await spread_rules(connection.js, 3, REGIONS)
    await publish(connection, 5)
    for revision in range(6, 20):
        await publish_rules(connection.js, "staging", KEY, revision)
    async with a_view(connection) as view:
        await view.caught_up()
        for region, sequence in (("dev", 1), ("staging", 1)):
            report = AppliedReport(region=region, instance="one", sequence=sequence, time_ms=NOW)
            await connection.js.publish(subjects.applied(region, "one"), report.to_json())
        await eventually(lambda: view.instances("dev", 0) and view.instances("staging", 0), "they report")

        assert streams.of("dev") != streams.of("staging")
        assert view.confirmed("dev", KEY, 0)
        assert view.confirmed("dev", None, 0)
        assert view.confirmed("staging", KEY, 0) is False
        assert view.confirmed("staging", None, 0) is False


async def test_a_change_of_their_number_is_followed_without_a_restart(connection: Connection) -> None:
    breaks = _breaks()
    await spread_rules(connection.js, 1, REGIONS)
    await publish(connection, 1)
    async with a_view(connection) as view:
        await view.caught_up()
        for revision, groups in enumerate((3, 2, 1, 3), start=2):
            await spread_rules(connection.js, groups, REGIONS)
            await publish(connection, revision)
            expected = [revision] * len(REGIONS)
            await eventually(lambda expected=expected: revisions(view) == expected, "it has the new rules")  # type: ignore[misc]
            await eventually(lambda: view.is_current, "it is current")
            assert len(_running()) == groups
    assert _breaks() == breaks
    assert _running() == []


async def test_what_was_in_the_streams_before_is_not_shown_any_more(connection: Connection) -> None:
    await spread_rules(connection.js, 3, REGIONS)
    await publish(connection, 1)
    async with a_view(connection) as view:
        await view.caught_up()

        await spread_rules(connection.js, 3, REGIONS)
        await publish_rules(connection.js, "dev", KEY, 2)

        await eventually(lambda: revisions(view) == [2, None, None], "only the new rules are shown")


async def test_a_console_that_waits_for_a_stream_starts_when_there_is_none_any_more(
    connection: Connection,
) -> None:
    streams = await spread_rules(connection.js, 3, REGIONS)
    await connection.js.delete_stream(streams.names[2])
    async with a_view(connection) as view:
        starting = asyncio.create_task(view.caught_up())
        await eventually(lambda: len(_running()) == 3, "it follows three streams")
        assert not starting.done()

        await spread_rules(connection.js, 1, REGIONS)

        async with asyncio.timeout(15):
            await starting


async def test_a_console_stops_while_the_streams_are_being_changed(connection: Connection) -> None:
    await spread_rules(connection.js, 3, REGIONS)
    async with a_view(connection) as view:
        await view.caught_up()
        await delete_rules(connection.js)
        await eventually(lambda: not view.is_current, "it notices that the streams are gone")

    assert _running() == []


def _running() -> list[str]:
    """Return the tasks that follow streams of rules."""
    names = (task.get_name() for task in asyncio.all_tasks())
    return sorted(name for name in names if name.startswith("follow KV_RULES"))


def _breaks() -> float:
    """Return how often streams went back, by the metrics."""
    values = (REGISTRY.get_sample_value(BREAKS, {"stream": name}) for name in RulesStreams(3).names)
    return sum(value or 0.0 for value in values)
