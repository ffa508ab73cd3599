"""A script that only knows the Console API runs a whole release."""

from typing import Any

from tests.integration.console.conftest import Served
from tests.support.waiting import eventually

from .conftest import Script

HOUR = 3_600_000
EVERYONE = {"name": "everyone", "passPercentage": 100, "conditions": [{"type": "public"}]}


def phase(name: str, environment: str, *, review: bool = False, bake_ms: int = HOUR) -> dict[str, Any]:
    rule = {"name": name, "environments": [environment], "conditions": []}
    return {"name": name, "timeIntervalMs": bake_ms, "requiredReview": review, "rules": [rule]}


async def test_a_release_from_creation_to_everyone(script: Script, served: Served) -> None:
    pipeline = await script.ok(
        "POST",
        "release_pipelines",
        {
            "name": "By script",
            "phases": [
                phase("dev", "development"),
                phase("staging", "staging", review=True),
                phase("prod", "production", bake_ms=1),
            ],
        },
    )
    gate = await script.ok("POST", "gates", {"name": "from_script", "rules": []}, status=201)
    attached = await script.ok("PATCH", "gates/from_script", {"releasePipelineID": pipeline["id"]})
    saved = await script.ok("PATCH", "gates/from_script", {"rules": [EVERYONE]})
    trigger = (await script.ok("GET", "release_pipeline_triggers", gateID="from_script"))[0]
    at = f"release_pipeline_triggers/{trigger['id']}"

    assert (pipeline["id"], gate["status"], attached["triggerID"]) == ("By-script", "In Progress", None)
    assert saved["triggerID"] == trigger["id"]
    assert (trigger["status"], trigger["currentPhaseID"]) == ("IN_PROGRESS", "dev")

    paused = await script.ok("PUT", f"{at}/pause", {"phaseID": "dev"})
    running = await script.ok("PUT", f"{at}/unpause", {"phaseID": "dev"})
    extended = await script.ok("PUT", f"{at}/extend", {"phaseID": "dev", "by": "1h30m"})
    nothing = await script.refused("PUT", f"{at}/extend", {"phaseID": "dev", "by": "0s"}, status=400)
    waiting = await script.ok("PUT", f"{at}/skip", {"phaseID": "dev"})
    stale = await script.refused("PUT", f"{at}/approve", {"phaseID": "dev"}, status=409)
    approved = await script.ok("PUT", f"{at}/approve", {"phaseID": "staging"})
    await script.ok("PUT", f"{at}/skip", {"phaseID": "staging"})

    assert (paused["status"], paused["currentPhaseEndTime"]) == ("PAUSED", None)
    assert running["currentPhaseEndTime"] > trigger["createdTime"]
    assert extended["currentPhaseEndTime"] == running["currentPhaseEndTime"] + 90 * 60_000
    assert "greater than 0" in nothing
    assert waiting["status"] == "WAITING_FOR_REVIEW"
    assert "check the release, then try again" in stale
    assert approved["currentPhase"] == "staging"

    async def completed() -> Any:
        found = await script.ok("GET", at)
        return found if found["status"] == "COMPLETED" else None

    done = await eventually(completed, "the release completes")
    assert [action["type"] for action in done["actions"]] == [
        "STARTED", "PAUSED", "UNPAUSED", "SKIPPED", "APPROVED_FOR", "SKIPPED", "CLEANED_UP",
    ]  # fmt: skip
    assert done["currentPhase"] is None
    assert (await script.ok("GET", "gates/from_script"))["status"] == "Launched"


async def test_a_release_that_is_aborted_and_one_that_is_rolled_out(script: Script) -> None:
    await script.ok("POST", "release_pipelines", {"name": "slow", "phases": [phase("dev", "development")]})
    await script.ok(
        "POST", "gates", {"name": "one", "releasePipelineID": "slow", "rules": [EVERYONE]}, status=201
    )

    second = await script.refused("PATCH", "gates/one", {"description": "again"}, status=409)
    aborted = await script.ok("PUT", "release_pipeline_triggers/gate.one.1/abort")
    await script.ok("PATCH", "gates/one", {"rules": [EVERYONE], "description": "again"})
    rolled_out = await script.ok("PUT", "release_pipeline_triggers/gate.one.2/rollout", {"reason": "now"})

    assert "gate.one is being released by gate.one.1" in second
    assert (aborted["status"], aborted["rolledBack"]) == ("ABORTED", False)
    assert rolled_out["status"] == "COMPLETED"
    assert rolled_out["actions"][-1]["type"] == "FULL_ROLL_OUT"
    older = await script.ok("GET", "release_pipeline_triggers/gate.one.1")
    assert older["status"] == "ABORTED"
