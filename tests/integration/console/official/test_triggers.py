"""Triggers: their filters, their pages, and what a rollback looks like to a script."""

import json

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import RollBackTrigger, SavePipeline
from sluiceway.contracts.envelope import rfc3339
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from tests.integration.console.conftest import Served
from tests.support.catalogues import phase, pipeline
from tests.support.system import EVERYONE

from .conftest import Script

HOUR = 3_600_000
TWO = FeatureKey(FeatureKind.GATE, "two")
LOOKS_LIKE_AN_EVENT = {
    "feature": {
        "trigger": {"id": "gate.two.2", "pipeline": {"id": "x"}, "status": "COMPLETED", "createdMs": 1}
    }
}
TRIGGERS = "release_pipeline_triggers"


async def release(served: Served, *gates: str) -> None:
    await served.driver.accepted(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=HOUR)))
    for gate in gates:
        await served.driver.save_gate(gate, EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()


async def ids(script: Script, **query: object) -> list[str]:
    return [trigger["id"] for trigger in (await script.page(TRIGGERS, **query))["data"]]


async def test_a_rollback_shows_as_aborted_with_our_reason_beside_it(served: Served, script: Script) -> None:
    await release(served, "one")
    await served.driver.act(RollBackTrigger, "gate.one.1", reason="errors")
    await served.console.backend.features.catch_up()

    trigger = await script.ok("GET", f"{TRIGGERS}/gate.one.1")

    assert (trigger["status"], trigger["sluicewayStatus"]) == ("ABORTED", "ROLLED_BACK")
    assert (trigger["rolledBack"], trigger["rolledBackReason"]) == (True, "errors")
    assert trigger["actions"][-1]["type"] == "ABORTED"
    assert await ids(script, status="ABORTED") == ["gate.one.1"]


async def test_filters_narrow_the_list_down(served: Served, script: Script) -> None:
    await release(served, "one", "two")
    await served.driver.act(RollBackTrigger, "gate.two.1")
    await served.console.backend.features.catch_up()
    today = rfc3339(now_ms())[:10]

    assert await ids(script, status="IN_PROGRESS") == ["gate.one.1"]
    assert await ids(script, gateID="two") == ["gate.two.1"]
    assert await ids(script, gateID="nothing") == []
    assert await ids(script, dynamicConfigID="one") == []
    assert len(await ids(script, releasePipelineID="prod-release")) == 2
    assert await ids(script, releasePipelineID="other") == []
    assert len(await ids(script, startDate=today, endDate=today)) == 2
    assert await ids(script, endDate="2020-01-01") == []


async def test_every_release_is_listed_the_newest_first(served: Served, script: Script) -> None:
    await release(served, "one")
    await script.ok("PUT", f"{TRIGGERS}/gate.one.1/abort")
    await served.driver.save_gate("one", EVERYONE, releasePipelineID="prod-release", description="again")
    await served.console.backend.features.catch_up()

    assert await ids(script, gateID="one") == await ids(script) == ["gate.one.2", "gate.one.1"]
    assert await ids(script, status="ABORTED") == ["gate.one.1"]
    assert await ids(script, status="IN_PROGRESS") == ["gate.one.2"]
    older = await script.ok("GET", f"{TRIGGERS}/gate.one.1")
    assert (older["status"], older["actions"][-1]["type"]) == ("ABORTED", "ABORTED")


async def test_what_is_read_once_goes_on_being_true(served: Served, script: Script) -> None:
    await release(served, "one", "two")
    before = await ids(script)

    await served.driver.act(RollBackTrigger, "gate.one.1")
    for garbage in (b"garbage", json.dumps(LOOKS_LIKE_AN_EVENT).encode()):
        await served.driver.connection.js.publish(subjects.feature(TWO), garbage)
    await served.driver.save_gate("three", EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()

    assert before == ["gate.two.1", "gate.one.1"]
    assert await ids(script) == ["gate.three.1", "gate.two.1", "gate.one.1"]
    assert await ids(script, status="ABORTED") == ["gate.one.1"]


async def test_pages_link_to_each_other(served: Served, script: Script) -> None:
    await release(served, "one", "two", "three")

    first = await script.page(TRIGGERS, limit=2, status="IN_PROGRESS")
    second = await script.page(TRIGGERS, limit=2, page=2, status="IN_PROGRESS")

    assert first["pagination"] == {
        "itemsPerPage": 2,
        "pageNumber": 1,
        "nextPage": "/console/v1/release_pipeline_triggers?limit=2&status=IN_PROGRESS&page=2",
        "previousPage": None,
        "totalItems": 3,
        "all": "/console/v1/release_pipeline_triggers",
    }
    assert len(first["data"]) == 2
    assert len(second["data"]) == 1
    assert second["pagination"]["nextPage"] is None


async def test_an_invalid_query_is_refused(script: Script) -> None:
    assert "limit" in await script.refused("GET", TRIGGERS, status=400, limit=101)
    assert "startDate" in await script.refused("GET", TRIGGERS, status=400, startDate="yesterday")
    await script.refused("GET", f"{TRIGGERS}/gate.none.1", status=404)
    await script.refused("GET", f"{TRIGGERS}/..%2Fx", status=404)
    message = await script.refused("PUT", f"{TRIGGERS}/gate.one.1/pause", {}, status=400)
    assert "phaseID" in message
    await script.refused("PUT", f"{TRIGGERS}/gate.one.1/pause", {"phaseID": "dev"}, status=404)
