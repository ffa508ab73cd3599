"""The broker's store goes back under real processes: every region obeys the log, also after `kill -9`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from services.local.broker import EmbeddedBroker
from sluiceway import sdk_keys
from sluiceway.contracts.commands import AbortTrigger, RevokeKey
from tests.support.catalogues import REGIONS
from tests.support.edges import create_key
from tests.support.history import SavedStore
from tests.support.http import http_client
from tests.support.local import LocalSystem, local_system
from tests.support.system import EVERYONE, Driver, driving
from tests.support.waiting import eventually

#: 5 s are promised; a machine that tests something else at the same time is slower.
BOUND_SECONDS = 30.0

Flags = dict[str, object]


class Regions:
    """The edges of a system, asked over HTTP with a key of their environment."""

    def __init__(self, system: LocalSystem, http: httpx2.AsyncClient, keys: dict[str, str]) -> None:
        self.system = system
        self._http = http
        self._keys = keys

    async def serve(self, expected: Flags) -> None:
        """Wait until every edge serves these flags."""

        async def look() -> bool:
            return all([await self._flags(region, expected) == expected for region in REGIONS])

        await eventually(look, f"every region serves {expected}", BOUND_SECONDS)

    async def refuse(self, key: str) -> None:
        """Wait until every edge refuses a key."""

        async def look() -> bool:
            codes = [await self._status(region, key) for region in REGIONS]
            return set(codes) == {401}

        await eventually(look, "every region refuses the key", BOUND_SECONDS)

    async def _flags(self, region: str, expected: Flags) -> Flags:
        found: Flags = {}
        for name in expected:
            answer = await self._ask(region, name, self._keys[REGIONS[region]])
            body = answer.json() if answer else {}
            found[name] = body.get("value", body.get("errorCode"))
        return found

    async def _status(self, region: str, key: str) -> int:
        answer = await self._ask(region, "one", key)
        return answer.status_code if answer else 0

    async def _ask(self, region: str, name: str, key: str) -> httpx2.Response | None:
        url = self.system.processes().get(f"edge-{region}", {}).get("http")
        try:
            return await self._http.post(
                f"{url}/ofrep/v1/evaluate/flags/{name}",
                json={"context": {"targetingKey": "ada"}},
                headers={"x-api-key": key},
            )
        except httpx2.HTTPError:  # it is being started again
            return None


@asynccontextmanager
async def up(broker: EmbeddedBroker, data_dir: Path) -> AsyncIterator[tuple[LocalSystem, Driver]]:
    async with local_system(data_dir, "--nats-url", broker.url) as system, driving(broker.url) as driver:
        yield system, driver


async def answering(driver: Driver) -> None:
    """Wait until a scheduler has the broker back."""
    await eventually(lambda: driver.answered(AbortTrigger, trigger="gate.unknown.1"), "it answers")


@pytest.mark.parametrize(
    "is_stopped",
    [
        pytest.param(False, id="while everything runs"),
        pytest.param(True, id="while all is stopped", marks=pytest.mark.full),
    ],
)
async def test_every_region_obeys_a_log_that_was_put_back(tmp_path: Path, is_stopped: bool) -> None:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        store, data = SavedStore(broker, tmp_path / "broker"), tmp_path / "data"
        async with http_client(timeout=5) as http:
            async with up(broker, data) as (system, driver):
                keys = {name: await create_key(driver, environment=name) for name in set(REGIONS.values())}
                regions = Regions(system, http, keys)
                await driver.save_gate("one", EVERYONE)
                await regions.serve({"one": True, "two": "FLAG_NOT_FOUND"})
                store.save()
                await answering(driver)
                await driver.save_gate("one")
                for version in range(5):
                    await driver.save_gate("two", EVERYONE, description=str(version))
                lost_key = await create_key(driver, environment="production")
                await regions.serve({"one": False, "two": True})
                if not is_stopped:
                    store.restore()
                    await obey(regions, driver, keys, lost_key)
            if is_stopped:
                store.restore()
                async with up(broker, data) as (system, driver):
                    await obey(Regions(system, http, keys), driver, keys, lost_key)


async def obey(regions: Regions, driver: Driver, keys: dict[str, str], lost_key: str) -> None:
    """Check what is served, and that changes, revocations and restarts take effect."""
    await regions.serve({"one": True, "two": "FLAG_NOT_FOUND"})
    await regions.refuse(lost_key)

    await answering(driver)
    await driver.save_gate("one")
    await regions.serve({"one": False, "two": "FLAG_NOT_FOUND"})
    for region in REGIONS:
        regions.system.kill(f"edge-{region}")
    await regions.serve({"one": False, "two": "FLAG_NOT_FOUND"})

    await driver.accepted(RevokeKey, keyID=sdk_keys.key_id(keys["production"]))

    async def is_refused() -> bool:
        return await regions._status("prod-eu", keys["production"]) == 401

    await eventually(is_refused, "the key is revoked", BOUND_SECONDS)
