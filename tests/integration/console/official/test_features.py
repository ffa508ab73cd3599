"""Gates and dynamic configs, as scripts write them."""

from typing import Any

from sluiceway.contracts.commands import SavePipeline
from sluiceway.contracts.identity import Role
from tests.integration.console.conftest import Served
from tests.support.catalogues import phase, pipeline
from tests.support.consoles import create_api_key

from .conftest import Script

HOUR = 3_600_000
EVERYONE = {"name": "everyone", "passPercentage": 100, "conditions": [{"type": "public"}]}
HALF = {"name": "half", "passPercentage": 50, "conditions": [{"type": "public"}]}


async def attached(served: Served, script: Script, path: str, **fields: Any) -> None:
    """Create a live feature, and attach it to a pipeline."""
    await served.driver.accepted(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=HOUR)))
    await script.ok("POST", path, {"name": "one", "rules": [], **fields}, status=201)
    await script.ok("PATCH", f"{path}/one", {"releasePipelineID": "prod-release"})


async def test_a_gate_is_created_shown_and_listed(script: Script) -> None:
    created = await script.ok(
        "POST", "gates", {"name": "My gate", "description": "d", "rules": [HALF], "tags": ["x"]}, status=201
    )
    shown = await script.ok("GET", "gates/My-gate")
    listed = await script.page("gates")

    assert (created["id"], created["ignored"]) == ("My-gate", ["tags"])
    assert (shown["rules"][0]["passPercentage"], shown["version"]) == (50, 1)
    assert (shown["creatorID"], shown["lastModifierID"]) == ("admin", "admin")
    assert [gate["id"] for gate in listed["data"]] == ["My-gate"]


async def test_a_gate_keeps_who_created_it(served: Served, script: Script) -> None:
    created = await script.ok("POST", "gates", {"name": "one"}, status=201)
    await served.driver.save_gate("one", EVERYONE)
    await served.driver.save_gate("two", EVERYONE)
    await served.console.backend.features.catch_up()

    shown = await script.ok("GET", "gates/one")
    one, two = (await script.page("gates"))["data"]

    assert one == shown
    assert (one["creatorName"], one["lastModifierName"]) == ("admin", "ada")
    assert one["createdTime"] == created["createdTime"] == created["lastModifiedTime"]
    assert two["creatorID"] == "ada"


async def test_a_gate_that_exists_is_not_created_again(script: Script) -> None:
    await script.ok("POST", "gates", {"name": "one"}, status=201)

    assert "gate.one exists already" in await script.refused("POST", "gates", {"name": "one"}, status=409)


async def test_a_full_update_names_all_and_a_partial_one_keeps_the_rest(script: Script) -> None:
    await script.ok("POST", "gates", {"name": "one", "description": "d", "rules": [HALF]}, status=201)

    missing = await script.refused("POST", "gates/one", {"isEnabled": True, "rules": []}, status=400)
    partly = await script.ok("PATCH", "gates/one", {"description": "new"})
    whole = await script.ok(
        "POST", "gates/one", {"isEnabled": True, "description": "all", "rules": [EVERYONE]}
    )

    assert "description" in missing
    assert (partly["description"], partly["rules"][0]["name"]) == ("new", "half")
    assert (whole["description"], whole["status"]) == ("all", "Launched")


async def test_rules_are_added_replaced_and_deleted_one_by_one(script: Script) -> None:
    await script.ok("POST", "gates", {"name": "one", "rules": [HALF]}, status=201)

    added = await script.ok("POST", "gates/one/rule", EVERYONE)
    grown = await script.ok("PATCH", "gates/one/rules/half", {**HALF, "passPercentage": 75, "name": "most"})
    unknown = await script.refused("DELETE", "gates/one/rules/third", status=404)
    left = await script.ok("DELETE", "gates/one/rules/everyone")
    new = await script.ok("PATCH", "gates/one/rules", {"rules": [EVERYONE]})

    assert [rule["name"] for rule in added["rules"]] == ["half", "everyone"]
    assert (grown["rules"][0]["id"], grown["rules"][0]["passPercentage"]) == ("half", 75)
    assert "rule 'third' does not exist (known: half, everyone)" in unknown
    assert [rule["name"] for rule in left["rules"]] == ["most"]
    assert [rule["name"] for rule in new["rules"]] == ["everyone"]


async def test_disabling_and_launching_go_past_the_pipeline_and_keep_it(
    served: Served, script: Script
) -> None:
    await attached(served, script, "gates")

    launched = await script.ok("PUT", "gates/one/launch")
    disabled = await script.ok("PUT", "gates/one/disable")
    enabled = await script.ok("PUT", "gates/one/enable")

    assert (launched["status"], launched["triggerID"]) == ("Launched", None)
    assert (disabled["status"], disabled["triggerID"]) == ("Disabled", None)
    assert (enabled["status"], enabled["triggerID"]) == ("In Progress", "gate.one.1")
    assert {launched["releasePipelineID"], disabled["releasePipelineID"]} == {"prod-release"}


async def test_going_past_the_pipeline_is_not_an_editors(served: Served, script: Script) -> None:
    await attached(served, script, "gates")
    key = await create_api_key(served.driver, Role.EDITOR, owner="edna")
    await served.console.backend.catalogue.catch_up()

    async with served.console.caller(key) as http:
        editor = Script(http)
        message = await editor.refused("PUT", "gates/one/launch", status=403)
        await editor.ok("PATCH", "gates/one", {"rules": [EVERYONE]})

    assert "needs the role operator" in message


async def test_an_archived_gate_comes_back_as_it_was(script: Script) -> None:
    await script.ok("POST", "gates", {"name": "one", "rules": [HALF]}, status=201)

    archived = await script.ok("PUT", "gates/one/archive")
    back = await script.ok("PUT", "gates/one/unarchive")
    again = await script.refused("PUT", "gates/one/unarchive", status=409)

    assert archived["status"] == "Archived"
    assert back["rules"][0]["name"] == "half"
    assert "is not archived" in again


async def test_gates_are_filtered_by_their_pipeline(served: Served, script: Script) -> None:
    await attached(served, script, "gates")
    await script.ok("POST", "gates", {"name": "two"}, status=201)

    assert [
        gate["id"] for gate in (await script.page("gates", releasePipelineID="prod-release"))["data"]
    ] == ["one"]


async def test_a_config_carries_values_as_objects_or_as_text(script: Script) -> None:
    rule = {"name": "eu", "conditions": [{"type": "country", "operator": "any", "targetValue": ["DE"]}]}
    body = {
        "name": "limits",
        "defaultValueJson5": "{max: 1,} // of all",
        "rules": [{**rule, "passPercentage": 12.34, "returnValueJson5": '{"max": 2}'}],
    }

    await script.ok("POST", "dynamic_configs", body, status=201)
    shown = await script.ok("GET", "dynamic_configs/limits")
    await script.ok("PATCH", "dynamic_configs/limits/rule/eu", {**rule, "returnValue": {"max": 3}})
    changed = await script.ok("GET", "dynamic_configs/limits")

    assert (shown["defaultValue"], shown["rules"][0]["returnValue"]) == ({"max": 1}, {"max": 2})
    assert shown["rules"][0]["passPercentage"] == 12.34
    assert changed["rules"][0]["returnValue"] == {"max": 3}


async def test_an_invalid_feature_is_refused_with_the_field(script: Script) -> None:
    await script.ok("POST", "dynamic_configs", {"name": "limits"}, status=201)

    async def refusal(body: dict[str, Any]) -> str:
        return await script.refused("PATCH", "dynamic_configs/limits", body, status=400)

    assert "colour" in await refusal({"colour": "red"})
    assert "defaultValueJson5 is not valid JSON5: Unclosed" in await refusal({"defaultValueJson5": "{a: 1"})
    assert "NaN and Infinity are not valid" in await refusal({"defaultValueJson5": "{a: [-Infinity]}"})
    deep = "[" * 1_000
    assert "nesting" in await refusal({"defaultValueJson5": f"{{a: {deep}"})
    assert "must hold a JSON object" in await refusal({"defaultValueJson5": "[1]"})
    assert "returnValue" in await refusal({"rules": [{"name": "a", "conditions": []}]})
    browser = {"type": "browser_name", "operator": "any", "targetValue": ["x"]}
    assert "conditions" in await refusal(
        {"rules": [{"name": "a", "conditions": [browser], "returnValue": {}}]}
    )
    assert "it needs a letter" in await script.refused("POST", "gates", {"name": "!!!"}, status=400)
    assert "unknown pipeline 'none'" in await script.refused(
        "PATCH", "dynamic_configs/limits", {"releasePipelineID": "none"}, status=404
    )


async def test_the_same_request_with_the_same_key_is_done_once(served: Served, script: Script) -> None:
    headers = {"Idempotency-Key": "deploy-7"}
    new = {"name": "one"}
    created = [
        await served.console.admin.post("/console/v1/gates", json=new, headers=headers) for _ in range(2)
    ]
    body = {"description": "from CI"}

    first = await served.console.admin.patch("/console/v1/gates/one", json=body, headers=headers)
    again = await served.console.admin.patch("/console/v1/gates/one", json=body, headers=headers)

    assert [answer.status_code for answer in created] == [201, 201]
    assert (first.status_code, again.status_code) == (200, 200)
    assert len(await served.driver.history("one")) == 2
