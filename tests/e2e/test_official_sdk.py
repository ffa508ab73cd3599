"""The unmodified official SDK at the edges of three regions follows a release, and its rollback."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sluiceway.contracts.feature import TriggerStatus
from tests.support.local import LocalSystem, local_system, sluiceway
from tests.support.official import official_sdk, passes
from tests.support.system import driving
from tests.support.waiting import eventually

CHANGE = "deploy/examples/changes/new_checkout.yaml"
REGIONS = {"dev": "development", "staging": "staging", "prod-us-west": "production"}


async def test_an_official_sdk_in_each_region_follows_a_release_phase_by_phase_and_its_rollback(
    tmp_path: Path,
) -> None:
    async with local_system(tmp_path) as system, sdks(system) as followers:
        url = system.nats_url
        before = {name: has_it(sdk) for name, sdk in followers.items()}

        applied = await sluiceway(url, "apply", "-f", CHANGE, "--json")
        trigger = json.loads(applied[1])[0]["trigger"]
        await eventually(lambda: has_it(followers["dev"]), "dev has the candidate")
        await eventually(lambda: has_it(followers["staging"]), "staging has the candidate")
        async with driving(url) as driver:
            await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW, "prod-us-west")
            waiting = has_it(followers["prod-us-west"])
            await sluiceway(url, "trigger", "approve", trigger)
            await eventually(lambda: has_it(followers["prod-us-west"]), "prod-us-west has the candidate")
            released = {name: has_it(sdk) for name, sdk in followers.items()}

            await sluiceway(url, "alert", "fire", "CheckoutErrors", "--label", "gate=new_checkout")
            await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
            for name, sdk in followers.items():
                await eventually(partial(lost_it, sdk), f"{name} is back at the base")

        async def all_report() -> bool:
            _, out, _ = await sluiceway(url, "get", "regions", "--json")
            instances = {region["name"]: region["instances"] for region in json.loads(out)}
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
    async with AsyncExitStack() as stack:
        started: dict[str, Any] = {}
        for region, environment in REGIONS.items():
            _, key, _ = await sluiceway(system.nats_url, "key", "create", "--environment", environment)
            edge = system.processes()[f"edge-{region}"]["http"]
            started[region] = await stack.enter_async_context(official_sdk(edge, key.strip()))
        yield started
