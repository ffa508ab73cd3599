"""Pipelines and environments, as scripts write them."""

from typing import Any

from sluiceway.contracts.commands import SavePipeline
from sluiceway.contracts.identity import Role
from tests.integration.console.conftest import Served
from tests.support.catalogues import phase, pipeline
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE

from .conftest import Script

HOUR = 3_600_000
PIPELINES = "release_pipelines"


def body(name: str = "Night", **fields: Any) -> dict[str, Any]:
    rule = {"name": "all", "environments": ["production"], "conditions": []}
    only = {"name": "prod", "timeIntervalMs": 1_000, "requiredReview": True, "rules": [rule]}
    return {"name": name, "phases": [only], **fields}


async def test_a_pipeline_says_who_created_and_who_changed_it(served: Served, script: Script) -> None:
    key = await create_api_key(served.driver, Role.ADMIN, owner="ada")
    await served.console.backend.catalogue.catch_up()

    created = await script.ok("POST", PIPELINES, body(triggerNotice="Mind the gap"))
    async with served.console.caller(key) as http:
        changed = await Script(http).ok("POST", f"{PIPELINES}/Night", {"name": "Day"})

    assert (created["creatorID"], created["lastModifierID"]) == ("admin", "admin")
    assert (changed["creatorID"], changed["lastModifierID"]) == ("admin", "ada")
    assert changed["createdTime"] == created["createdTime"]
    assert (changed["name"], changed["triggerNotice"]) == ("Day", "Mind the gap")
    assert changed["phases"] == created["phases"]


async def test_pipelines_are_listed_in_pages_and_deleted(script: Script) -> None:
    await script.ok("POST", PIPELINES, body())

    listed = await script.page(PIPELINES, limit=1)
    await script.ok("DELETE", f"{PIPELINES}/Night")

    assert [one["name"] for one in listed["data"]] == ["Night"]
    assert listed["pagination"]["totalItems"] == 2
    await script.refused("GET", f"{PIPELINES}/Night", status=404)
    await script.refused("DELETE", f"{PIPELINES}/Night", status=404)


async def test_one_that_runs_is_neither_changed_nor_deleted(served: Served, script: Script) -> None:
    await served.driver.accepted(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=HOUR)))
    await served.driver.save_gate("one", EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()

    changed = await script.refused("POST", f"{PIPELINES}/prod-release", {"name": "other"}, status=409)
    deleted = await script.refused("DELETE", f"{PIPELINES}/prod-release", status=409)

    assert "is running for gate.one" in changed
    assert "is used by gate.one" in deleted


async def test_an_invalid_pipeline_is_refused_with_the_field(script: Script) -> None:
    await script.ok("POST", PIPELINES, body())

    again = await script.refused("POST", PIPELINES, body(triggerNotice="another"), status=409)
    nothing = await script.refused("POST", PIPELINES, {"name": "x", "phases": []}, status=400)
    unknown = await script.refused("POST", PIPELINES, body("y", colour="red"), status=400)
    phases = body("z")["phases"]
    phases[0]["rules"][0]["environments"] = ["mars"]
    nowhere = await script.refused("POST", PIPELINES, {"name": "z", "phases": phases}, status=400)

    assert "pipeline Night exists already" in again
    assert "phases" in nothing
    assert "colour" in unknown
    assert "mars" in nowhere


async def test_environments_are_created_and_opted_out(script: Script) -> None:
    await script.ok("POST", "environments", {"name": "qa", "requiresReleasePipeline": False})

    found = await script.ok("GET", "environments")

    qa = next(one for one in found["environments"] if one["id"] == "qa")
    assert qa == {
        "id": "qa",
        "name": "qa",
        "isProduction": False,
        "requiresReview": False,
        "requiresReleasePipeline": False,
    }
