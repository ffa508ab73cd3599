"""An approval that was given with a key counts as long as the key is valid and the phase has not started."""

from collections.abc import Sequence

import httpx2

from sluiceway import console_keys
from sluiceway.contracts.commands import RevokeKey, SavePipeline
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identity import Role
from tests.integration.console.conftest import Served
from tests.support.brokers import Broker
from tests.support.browsers import browsing
from tests.support.catalogues import phase, pipeline
from tests.support.cli.calls import Cli
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE

HOUR = 3_600_000
TRIGGER = "gate.new_checkout.1"
PATH = f"/console/v1/release_pipeline_triggers/{TRIGGER}"


async def release(served: Served) -> None:
    """Start a release whose first phase waits for two approvals."""
    guarded = phase("dev", bake_ms=HOUR, review=True, approvals={"count": 2})
    await served.driver.accepted(SavePipeline, pipeline=pipeline(guarded))
    await served.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()


async def a_key(served: Served, owner: str) -> str:
    key = await create_api_key(served.driver, Role.APPROVER, owner=owner)
    await served.console.backend.catalogue.catch_up()
    return key


async def approve(served: Served, key: str) -> httpx2.Response:
    async with served.console.caller(key) as caller:
        return await caller.put(f"{PATH}/approve", json={"phaseID": "dev"})


async def revoke(served: Served, key: str) -> None:
    await served.driver.accepted(RevokeKey, key_id=console_keys.key_id(key))
    await served.console.backend.catalogue.catch_up()


async def approvers(served: Served) -> Sequence[str]:
    shown = (await served.console.admin.get(PATH)).json()["data"]["phases"][0]
    listed = (await served.console.admin.get("/console/v1/release_pipeline_triggers")).json()["data"][0]
    assert listed["phases"][0] == shown
    names: list[str] = shown["approvals"]
    assert shown["status"] == f"waits for review, {len(names)} of 2 approvals"
    return names


async def test_an_approval_counts_no_longer_once_its_key_is_revoked(served: Served) -> None:
    await release(served)
    bea, eve = await a_key(served, "bea"), await a_key(served, "eve")
    assert (await approve(served, bea)).status_code == 200
    assert await approvers(served) == ["bea"]

    await revoke(served, bea)
    assert await approvers(served) == []
    assert (await approve(served, eve)).status_code == 200

    assert await approvers(served) == ["eve"]
    trigger = await served.driver.trigger(TRIGGER)
    assert (trigger.status, trigger.released) == (TriggerStatus.WAITING_FOR_REVIEW, ())
    assert (await approve(served, await a_key(served, "bea"))).status_code == 200
    assert (await served.driver.trigger(TRIGGER)).status is TriggerStatus.IN_PROGRESS


async def test_every_surface_says_that_an_approval_no_longer_counts(served: Served, broker: Broker) -> None:
    await release(served)
    bea = await a_key(served, "bea")
    await approve(served, bea)

    await revoke(served, bea)

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get(f"/triggers/{TRIGGER}")
        assert "waits for review, 0 of 2 approvals" in browser.page
        assert "no longer counted, since the key was revoked or has expired: bea" in browser.page
        await browser.get("/")
        assert "0 of 2 approvals" in browser.page
        await browser.get(f"/triggers/{TRIGGER}/approve")
        assert "Phase dev waits for 1 approval." in browser.page
    ours = (await served.console.admin.get("/api/v1/triggers")).json()["data"][0]
    assert ours["phases"][0]["approvals"] == []
    cli = Cli(broker.url)
    for arguments in ((TRIGGER,), ()):
        found = (await cli.succeeds("get", "triggers", *arguments, "--json")).json
        shown = found if isinstance(found, dict) else found[0]
        assert shown["phases"][0]["approvals"] == []


async def test_the_approvals_of_a_phase_that_has_started_stay(served: Served) -> None:
    await release(served)
    bea, eve = await a_key(served, "bea"), await a_key(served, "eve")
    await approve(served, bea)
    await approve(served, eve)

    await revoke(served, bea)

    phase_ = (await served.console.admin.get(PATH)).json()["data"]["phases"][0]
    assert (phase_["status"], phase_["approvals"]) == ("bakes", ["bea", "eve"])
