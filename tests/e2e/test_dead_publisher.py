"""A dead publisher holds every release, whatever its pipeline says."""

from pathlib import Path

from sluiceway.contracts.commands import AbortTrigger
from sluiceway.contracts.feature import Trigger, TriggerStatus
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.local import edges_of, local_system
from tests.support.system import EVERYONE, Driver, driving, following, services
from tests.support.waiting import eventually

BOUND_SECONDS = 60.0


async def test_a_release_is_held_until_there_is_a_publisher_again(tmp_path: Path) -> None:
    async with (
        local_system(tmp_path, "--no-catalogue", "--no-restart", *edges_of()) as system,
        driving(system.nats_url) as driver,
    ):
        phases = (phase("dev"), phase("staging"), phase("prod-eu", review=True))
        await apply_catalogue(driver, *phases, requireConfirmation=False)
        await driver.save_gate("checkout")
        async with following(system.nats_url, "dev") as dev:
            assert system.kill("evaluator_publisher")
            await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)

            held = await eventually(lambda: _held(driver), "the release is held", BOUND_SECONDS)

            assert held.current_run.phase.id == "dev"
            assert held.held[0].startswith("region dev: the rules are not published yet (since 20")
            assert not dev.passes("checkout")
            async with services(system.nats_url, schedulers=0, monitors=0):
                await driver.reaches("gate.checkout.1", TriggerStatus.WAITING_FOR_REVIEW, "prod-eu")
                assert dev.passes("checkout")
                await driver.act(AbortTrigger, "gate.checkout.1")
                await eventually(lambda: not dev.passes("checkout"), "dev is off again", BOUND_SECONDS)


async def _held(driver: Driver) -> Trigger | None:
    trigger = await driver.trigger("gate.checkout.1")
    return trigger if trigger.held else None
