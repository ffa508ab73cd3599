"""What a phase waits for before it is left: here, that its regions have applied it."""

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.feature import Trigger, TriggerStatus
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, following, services
from tests.support.waiting import eventually


async def report(driver: Driver, region: str, sequence: int, instance: str = "slow") -> None:
    """Say what an instance has applied."""
    text = AppliedReport(region=region, instance=instance, sequence=sequence, time_ms=now_ms()).to_json()
    await driver.connection.js.publish(subjects.applied(region, instance), text)


async def release(driver: Driver) -> str:
    await apply_catalogue(driver, phase("dev"), phase("staging", review=True), requireConfirmation=True)
    await driver.save_gate("checkout")
    await report(driver, "dev", 1)
    reply = await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def held(driver: Driver, trigger: str) -> Trigger:
    async def look() -> Trigger | None:
        found = await driver.trigger(trigger)
        return found if found.held else None

    return await eventually(look, f"{trigger} is held")


async def test_a_phase_waits_for_every_instance_that_reports(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        async with following(broker.url, "dev"):
            trigger = await release(driver)

            assert (await held(driver, trigger)).held == ("region dev: not applied yet by slow",)

            await report(driver, "dev", 1_000)
            await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)


async def test_a_region_where_nobody_reports_holds_nothing(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"), phase("staging", review=True), requireConfirmation=True)
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)

        await driver.reaches("gate.checkout.1", TriggerStatus.WAITING_FOR_REVIEW)


async def test_without_a_publisher_nothing_is_confirmed(broker: Broker) -> None:
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        trigger = await release(driver)

        assert (await held(driver, trigger)).held == ("region dev: the rules are not published yet",)
