"""The unmodified official SDK at the edges of three regions follows a release, and its rollback."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sluiceway.contracts.feature import TriggerStatus
from tests.support.local import LocalSystem, local_system, sluiceway
from tests.support.system import driving
from tests.support.waiting import eventually

statsig = pytest.importorskip("statsig_python_core")

CHANGE = "deploy/examples/changes/new_checkout.yaml"
REGIONS = {"dev": "development", "staging": "staging", "prod-us-west": "production"}


async def test_an_official_sdk_in_each_region_follows_a_release_phase_by_phase_and_its_rollback(
    tmp_path: Path,
) -> None:
    async with local_system(tmp_path) as system, sdks(system) as followers:
        url = system.nats_url
        before = {name: passes(sdk) for name, sdk in followers.items()}

        applied = await sluiceway(url, "apply", "-f", CHANGE, "--json")
        trigger = json.loads(applied[1])[0]["trigger"]
        await eventually(lambda: passes(followers["dev"]), "dev has the candidate")
        await eventually(lambda: passes(followers["staging"]), "staging has the candidate")
        async with driving(url) as driver:
            await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW, "prod-us-west")
            waiting = passes(followers["prod-us-west"])
            await sluiceway(url, "trigger", "approve", trigger)
            await eventually(lambda: passes(followers["prod-us-west"]), "prod-us-west has the candidate")
            released = {name: passes(sdk) for name, sdk in followers.items()}

            await sluiceway(url, "alert", "fire", "CheckoutErrors", "--label", "gate=new_checkout")
            await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
            for name, sdk in followers.items():
                await eventually(partial(fails, sdk), f"{name} is back at the base")

        async def all_report() -> bool:
            _, out, _ = await sluiceway(url, "get", "regions", "--json")
            instances = {region["name"]: region["instances"] for region in json.loads(out)}
            return all(len(instances[name]) == 2 for name in REGIONS)

        await eventually(all_report, "every SDK is reported beside its edge")
        assert before == dict.fromkeys(REGIONS, False)
        assert waiting is False
        assert released == dict.fromkeys(REGIONS, True)
        assert not any("secret-" in line for line in system.output)


def passes(sdk: Any) -> bool:
    return bool(sdk.check_gate(statsig.StatsigUser("ada"), "new_checkout"))


def fails(sdk: Any) -> bool:
    return not passes(sdk)


@asynccontextmanager
async def sdks(system: LocalSystem) -> AsyncIterator[Mapping[str, Any]]:
    """Start an SDK for each region, at the region's edge, with a key of its environment."""
    started: dict[str, Any] = {}
    try:
        for region, environment in REGIONS.items():
            _, key, _ = await sluiceway(system.nats_url, "key", "create", "--environment", environment)
            edge = system.processes()[f"edge-{region}"]["http"]
            started[region] = await asyncio.to_thread(_start, edge, key.strip())
        yield started
    finally:
        for sdk in started.values():
            await asyncio.to_thread(_stop, sdk)


def _start(edge: str, key: str) -> Any:
    options = statsig.StatsigOptions(
        specs_url=f"{edge}/v2/download_config_specs",
        log_event_url=f"{edge}/v1/log_event",
        id_lists_url=f"{edge}/v1/get_id_lists",
        specs_sync_interval_ms=1000,
        disable_country_lookup=True,
        output_log_level="none",
    )
    sdk = statsig.Statsig(key, options)
    sdk.initialize().wait()
    return sdk


def _stop(sdk: Any) -> None:
    sdk.shutdown().wait()
