"""A scheduler that spreads the rules of regions over several streams."""

import pytest
from nats.js.api import DeliverPolicy
from nats.js.errors import NoStreamResponseError

from services.scheduler import rules_regions
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings
from sluiceway.cli.current_state import read_rules
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import SaveEnvironment, SaveRegion
from sluiceway.errors import Unavailable
from sluiceway.messaging.rules_streams import RulesStreams, read_rules_streams
from sluiceway.pipelines.projection import project_each
from tests.support.brokers import Broker
from tests.support.builders import a_region, a_release
from tests.support.rules_streams import set_metadata
from tests.support.system import Driver, driving
from tests.support.waiting import eventually

STREAMS = RulesStreams(3)
EVENT = a_release().events[-1]
REGIONS = [f"region-{number}" for number in range(6)]


def scheduler(broker: Broker, rules_streams: int | None = None) -> Scheduler:
    return Scheduler(Settings(nats_url=broker.url, rules_streams=rules_streams))


async def test_a_new_region_has_a_place_for_its_rules_soon(broker: Broker) -> None:
    async with scheduler(broker, 3), driving(broker.url) as driver:
        await save(driver, *REGIONS)

        for region in REGIONS:
            await stores(driver, region, STREAMS.of(region))


async def test_the_number_stays_where_the_setting_is_missing(broker: Broker) -> None:
    async with scheduler(broker, 3), driving(broker.url) as driver:
        await save(driver, "dev")
        await stores(driver, "dev", STREAMS.of("dev"))

    async with scheduler(broker), driving(broker.url) as driver:
        assert await read_rules_streams(driver.connection.replies) == STREAMS
        assert (await driver.connection.js.stream_info(STREAMS.of("dev"))).state.messages == 1


async def test_a_place_that_another_scheduler_takes_away_is_given_back(broker: Broker) -> None:
    """Nothing tells of it, since an update of a stream has no condition."""
    async with scheduler(broker, 3), driving(broker.url) as driver:
        js = driver.connection.js
        before = (await js.stream_info(STREAMS.of("dev"))).config
        await save(driver, "dev")
        await stores(driver, "dev", STREAMS.of("dev"))

        await js.update_stream(before)

        await stores(driver, "dev", STREAMS.of("dev"), bound=3 * rules_regions.CHECK_EVERY_SECONDS)


@pytest.mark.parametrize("damage", ["deleted", "without metadata"])
async def test_a_first_stream_that_was_damaged_is_noticed_and_repaired(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(rules_regions, "CHECK_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(rules_regions, "CHECK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(rules_regions, "REPAIR_AFTER_SECONDS", 3_600.0)
    async with scheduler(broker, 3) as running, driving(broker.url) as driver:
        await save(driver, *REGIONS)
        for region in REGIONS:
            await stores(driver, region, STREAMS.of(region))
        assert "rules" not in await running.readiness()

        if damage == "deleted":
            await driver.connection.js.delete_stream(subjects.RULES_STREAM)
        else:
            await set_metadata(driver.connection, {})

        async def says_so() -> bool:
            return "rules" in await running.readiness()

        await eventually(says_so, "readiness says so")
        monkeypatch.setattr(rules_regions, "REPAIR_AFTER_SECONDS", 0.0)
        for region in REGIONS:
            await stores(driver, region, STREAMS.of(region))

        async def is_over() -> bool:
            return not await says_so()

        await eventually(is_over, "readiness no longer says so")


async def test_who_subscribes_by_subject_names_no_stream(broker: Broker) -> None:
    async with scheduler(broker, 3), driving(broker.url) as driver:
        await save(driver, *REGIONS)
        for region in REGIONS:
            await stores(driver, region, STREAMS.of(region))
            rules = await driver.connection.js.subscribe(
                subjects.rules_of(region),
                ordered_consumer=True,
                deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            )
            assert (await rules.next_msg(timeout=5)).subject == subjects.complete_set(region)


async def test_the_command_line_reads_the_rules_of_a_region_where_they_are(broker: Broker) -> None:
    async with scheduler(broker, 3), driving(broker.url) as driver:
        await save(driver, *REGIONS)
        for region in REGIONS:
            await stores(driver, region, STREAMS.of(region))
            document = project_each(EVENT, 7, [a_region(region)])[region]
            assert document
            await driver.connection.js.publish(subjects.rule(region, document.key), document.to_json())

        for region in REGIONS:
            assert [document.name for document in await read_rules(driver.connection, region)] == ["checkout"]


async def test_the_command_line_says_that_there_are_no_streams(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        with pytest.raises(Unavailable, match="is a scheduler running"):
            await read_rules(driver.connection, "dev")


async def save(driver: Driver, *regions: str) -> None:
    await driver.saved(SaveEnvironment, environment={"name": "development"})
    for region in regions:
        await driver.saved(SaveRegion, region={"name": region, "environment": "development"})


async def stores(driver: Driver, region: str, stream: str, bound: float = 10.0) -> None:
    """Wait until what is published for a region is stored in its stream."""

    async def look() -> bool:
        try:
            ack = await driver.connection.js.publish(subjects.complete_set(region), b"{}")
        except NoStreamResponseError:
            return False
        assert ack.stream == stream
        return True

    await eventually(look, f"{stream} stores the rules of {region}", bound)
