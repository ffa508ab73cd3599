"""What a console remembers of releases and features is bounded; the rest is read when it is asked for."""

from pathlib import Path

import pytest

from services.console import creators, release_index
from sluiceway.contracts.commands import AbortTrigger
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.consoles import running_console
from tests.support.system import EVERYONE, driving, services


async def test_what_is_not_remembered_is_still_found(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_index, "RELEASES_MAX", 2)
    monkeypatch.setattr(creators, "CREATIONS_MAX", 1)
    async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=10**9))
        for name in ("one", "two", "three"):
            await driver.save_gate(name, EVERYONE, releasePipelineID=PIPELINE)
            await driver.act(AbortTrigger, f"gate.{name}.1")
        await driver.save_gate("one", EVERYONE, releasePipelineID=PIPELINE)
        async with running_console(broker.url, tmp_path) as console:
            listed = (await console.admin.get("/api/v1/triggers?status=ABORTED")).json()
            earlier = await console.admin.get("/console/v1/release_pipeline_triggers/gate.one.1")
            gates = (await console.admin.get("/console/v1/gates")).json()["data"]

    assert [release["id"] for release in listed["data"]] == ["gate.three.1"]
    assert earlier.json()["data"]["status"] == "ABORTED"
    assert {gate["name"]: gate["creatorID"] for gate in gates} == dict.fromkeys(
        ("one", "two", "three"), "ada"
    )
