"""Releases while the rules are spread over several streams, and while the number of streams changes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings
from sluiceway.contracts.commands import ApprovePhase, SaveRegion
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.messaging.rules_streams import RulesStreams, read_rules_streams
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, REGIONS, apply_catalogue, phase
from tests.support.processes import service_process
from tests.support.system import EVERYONE, Driver, Follower, driving, following, services
from tests.support.waiting import eventually

BOUND_SECONDS = 60.0
FIRST = "gate.checkout.1"
PHASES = (phase("dev"), phase("staging", review=True), phase("prod-eu", review=True, bake_ms=3_600_000))


async def test_a_release_goes_on_through_a_change_of_the_number_and_the_death_of_its_publisher(
    broker: Broker, tmp_path: Path
) -> None:
    assert len({RulesStreams(3).of(name) for name in REGIONS}) == 3
    async with AsyncExitStack() as stack, driving(broker.url) as driver:
        async with scheduler(broker, 3):
            await apply_catalogue(driver, *PHASES)
            async with service_process(tmp_path, "services.evaluator_publisher", broker.url) as publisher:
                await stack.enter_async_context(services(broker.url, schedulers=0, publishers=0))
                followers = await stack.enter_async_context(following_all(broker))
                await driver.save_gate("checkout")
                await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
                await driver.reaches(FIRST, TriggerStatus.WAITING_FOR_REVIEW, "staging")
                await eventually(
                    lambda: passing(followers) == {"dev"}, "dev has the candidate", BOUND_SECONDS
                )
                publisher.process.kill()

        async with scheduler(broker, 2):
            assert await read_rules_streams(driver.connection.replies) == RulesStreams(2)
            await driver.act(ApprovePhase, FIRST)
            assert passing(followers) == {"dev"}
            process = service_process(tmp_path, "services.evaluator_publisher", broker.url)
            publisher = await stack.enter_async_context(process)
            await eventually(
                lambda: passing(followers) == {"dev", "staging"}, "staging has it", BOUND_SECONDS
            )
            await driver.reaches(FIRST, TriggerStatus.WAITING_FOR_REVIEW, "prod-eu")

        async with scheduler(broker, 4):
            assert passing(followers) == {"dev", "staging"}
            await rolls_out(driver, followers)
            await is_rolled_back(driver, followers)
            await reaches_a_new_region(broker, driver)
            assert await publisher.is_ready()


async def rolls_out(driver: Driver, followers: dict[str, Follower]) -> None:
    await driver.act(ApprovePhase, FIRST)
    covered = {"dev", "staging", "prod-eu"}
    await eventually(lambda: passing(followers) == covered, "all phases are out", BOUND_SECONDS)


async def is_rolled_back(driver: Driver, followers: dict[str, Follower]) -> None:
    await driver.alert("CheckoutErrors", gate="checkout")
    await driver.reaches(FIRST, TriggerStatus.ROLLED_BACK)
    await eventually(lambda: passing(followers) == set(), "no region has the candidate", BOUND_SECONDS)


async def reaches_a_new_region(broker: Broker, driver: Driver) -> None:
    await driver.saved(SaveRegion, region={"name": "new", "environment": "development"})
    async with following(broker.url, "new") as new:
        await driver.save_gate("another", EVERYONE)
        await eventually(lambda: new.passes("another"), "the new region has it", BOUND_SECONDS)


def passing(followers: dict[str, Follower]) -> set[str]:
    return {name for name, follower in followers.items() if follower.passes("checkout")}


def scheduler(broker: Broker, rules_streams: int) -> Scheduler:
    return Scheduler(Settings(nats_url=broker.url, rules_streams=rules_streams))


@asynccontextmanager
async def following_all(broker: Broker) -> AsyncIterator[dict[str, Follower]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(following(broker.url, name)) for name in REGIONS}
