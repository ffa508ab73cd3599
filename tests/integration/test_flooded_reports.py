"""One region's edge floods the stream of reports: it holds the phases of its own region, and says why."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.scheduler import region_reports
from services.scheduler.region_reports import (
    PUSHED_OUT,
    RegionReports,
    Reports,
    TooManyInstances,
    Unreadable,
)
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.last_records import ReadBounds
from sluiceway.messaging.streams import APPLIED_BITS_PER_SECOND, APPLIED_BYTES_MAX, declare
from sluiceway.settings import BrokerSettings
from sluiceway.tasks import cancel_and_wait
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, following, services
from tests.support.waiting import eventually

#: As much as one message of a flood may have.
RUBBISH = b"x" * (APPLIED_BYTES_MAX - 1_000)
#: Messages of the flood before the release begins: more than a reading may have there.
FLOOD = 500


@asynccontextmanager
async def flooded(url: str, region: str) -> AsyncIterator[None]:
    """Write rubbish under ever new names while the block runs, each when the last one is stored."""
    async with connected(BrokerSettings(nats_url=url), "sly") as connection:
        started = asyncio.Event()

        async def flood() -> None:
            for number in itertools.count():
                await connection.js.publish(subjects.applied(region, f"sly-{number}"), b"x" * 1_000)
                if number == FLOOD:
                    started.set()

        task = asyncio.create_task(flood())
        try:
            await started.wait()
            yield
        finally:
            await cancel_and_wait(task)


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await declare(connection.js, 1)
        yield connection


async def report(connection: Connection, region: str, instance: str, sequence: int = 1) -> None:
    text = AppliedReport(region=region, instance=instance, sequence=sequence, time_ms=now_ms()).to_json()
    await connection.js.publish(subjects.applied(region, instance), text)


async def read(connection: Connection, region: str) -> Reports:
    async with RegionReports(connection) as reports:
        (found,) = await reports.of_regions([region])
        return found


async def held(driver: Driver, trigger: str) -> Trigger:
    async def look() -> Trigger | None:
        found = await driver.trigger(trigger)
        return found if found.held else None

    return await eventually(look, f"{trigger} is held")


async def test_a_release_in_other_regions_goes_on_and_one_in_the_flooded_region_is_held_with_the_reason(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_reports, "BOUNDS", ReadBounds(200, 5.0, APPLIED_BITS_PER_SECOND))
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("prod-eu"), phase("dev"), phase("staging", review=True))
        async with following(broker.url, "prod-eu"), flooded(broker.url, "dev"):
            await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)

            await driver.reaches("gate.checkout.1", TriggerStatus.IN_PROGRESS, "dev")
            found = await held(driver, "gate.checkout.1")

            assert found.current_run.phase.id == "dev"
            assert found.held == ("region dev: more than 10000 instances report",)
        await driver.connection.js.purge_stream(subjects.APPLIED_STREAM)

        await driver.reaches("gate.checkout.1", TriggerStatus.WAITING_FOR_REVIEW, "staging")


async def test_the_newest_report_of_each_instance_of_the_region_is_read(connection: Connection) -> None:
    for sequence in range(3):
        for instance in ("one", "two"):
            await report(connection, "dev", instance, sequence)
    await report(connection, "staging", "three", 9)

    found = await read(connection, "dev")

    assert isinstance(found, dict)
    assert {name: position.sequence for name, position in found.items()} == {"one": 2, "two": 2}


async def test_a_region_without_reports_has_none(connection: Connection) -> None:
    await report(connection, "staging", "one")

    assert await read(connection, "dev") == {}


async def test_a_stream_that_is_gone_is_not_a_region_without_reports(connection: Connection) -> None:
    await connection.js.delete_stream(subjects.APPLIED_STREAM)

    assert await read(connection, "dev") == Unreadable()


async def test_more_instances_than_are_read_are_not_read(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_reports, "BOUNDS", ReadBounds(3, 5.0, APPLIED_BITS_PER_SECOND))
    for number in range(3):
        await report(connection, "dev", f"i-{number}")
    assert len(await as_positions(connection)) == 3
    await report(connection, "dev", "one-more")

    assert await read(connection, "dev") == TooManyInstances()


async def as_positions(connection: Connection) -> dict[str, object]:
    found = await read(connection, "dev")
    assert isinstance(found, dict)
    return found


async def test_what_takes_longer_than_a_reading_may_is_unreadable_and_leaves_no_consumer(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_reports, "BOUNDS", ReadBounds(1_000, 0.5, 80_000))
    for number in range(20):
        await connection.js.publish(subjects.applied("dev", f"sly-{number}"), RUBBISH)

    assert await read(connection, "dev") == Unreadable()
    assert await connection.js.consumers_info(subjects.APPLIED_STREAM) == []


async def test_all_who_ask_for_a_region_meanwhile_share_one_reading(connection: Connection) -> None:
    await report(connection, "dev", "one")

    async with RegionReports(connection) as reports:
        answers = await asyncio.gather(*(reports.of_regions(["dev"]) for _ in range(100)))
        found = [region for (region,) in answers]

    assert len({id(each) for each in found}) == 1


async def test_10000_instances_are_read_within_the_bounds(connection: Connection) -> None:
    for number in range(10_000):
        text = AppliedReport(region="dev", instance=f"sdk-3f9a11c2-{number}", sequence=1, time_ms=now_ms())
        await connection.client.publish(subjects.applied("dev", text.instance), text.to_json())
    await report(connection, "staging", "last")  # all before it are stored

    assert len(await as_positions(connection)) == 10_000


async def test_a_full_stream_that_has_lost_young_reports_says_so(connection: Connection) -> None:
    config = (await connection.js.stream_info(subjects.APPLIED_STREAM)).config
    await connection.js.update_stream(config, max_bytes=10 * len(RUBBISH))
    async with RegionReports(connection) as reports:
        assert await reports.incomplete(now_ms()) is None
        for number in range(20):
            await connection.js.publish(subjects.applied("dev", f"sly-{number}"), RUBBISH)

        assert await reports.incomplete(now_ms()) == PUSHED_OUT
        assert await reports.incomplete(now_ms() + 40_000) is None, "every instance has reported since"
