"""The unmodified official SDK at the edges of three regions follows a release, and its rollback."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sluiceway.contracts.feature import TriggerStatus
from tests.support.cli.calls import Cli
from tests.support.local import LocalSystem, edges_of, local_system
from tests.support.official import official_sdk, passes
from tests.support.system import driving
from tests.support.waiting import eventually

CHANGE = "deploy/examples/changes/new_checkout.yaml"
REGIONS = {"dev": "development", "staging": "staging", "prod-us-west": "production"}


async def test_an_official_sdk_in_each_region_follows_a_release_phase_by_phase_and_its_rollback(
    tmp_path: Path,
) -> None:
    async with local_system(tmp_path, *edges_of(*REGIONS)) as system, sdks(system) as followers:
        cli = Cli(system.nats_url)
        before = {name: has_it(sdk) for name, sdk in followers.items()}

        applied = await cli.succeeds("apply", "-f", CHANGE, "--json")
        trigger = applied.json[0]["trigger"]
        await eventually(lambda: has_it(followers["dev"]), "dev has the candidate")
        await eventually(lambda: has_it(followers["staging"]), "staging has the candidate")
        async with driving(system.nats_url) as driver:
            await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW, "prod-us-west")
            waiting = has_it(followers["prod-us-west"])
            await cli.succeeds("trigger", "approve", trigger)
            await eventually(lambda: has_it(followers["prod-us-west"]), "prod-us-west has the candidate")
            released = {name: has_it(sdk) for name, sdk in followers.items()}

            await cli.succeeds("alert", "fire", "CheckoutErrors", "--label", "gate=new_checkout")
            await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
            for name, sdk in followers.items():
                await eventually(partial(lost_it, sdk), f"{name} is back at the base")

        async def all_report() -> bool:
            found = await cli.succeeds("get", "regions", "--json")
            instances = {region["name"]: region["instances"] for region in found.json}
            return all(len(instances[name]) == 2 for name in REGIONS)

        await eventually(all_report, "every SDK is reported beside its edge")
        assert before == dict.fromkeys(REGIONS, False)
        assert waiting is False
        assert released == dict.fromkeys(REGIONS, True)
        assert not any("secret-" in line for line in system.output)


def has_it(sdk: Any) -> bool:
    return passes(sdk, "new_checkout")


def lost_it(sdk: Any) -> bool:
    return not has_it(sdk)


@asynccontextmanager
async def sdks(system: LocalSystem) -> AsyncIterator[Mapping[str, Any]]:
    """Start an SDK for each region, at the region's edge, with a key of its environment."""
    cli = Cli(system.nats_url)
    async with AsyncExitStack() as stack:
        started: dict[str, Any] = {}
        for region, environment in REGIONS.items():
            key = (await cli.succeeds("key", "create", "--environment", environment)).out
            edge = system.processes()[f"edge-{region}"]["http"]
            started[region] = await stack.enter_async_context(official_sdk(edge, key.strip()))
        yield started
