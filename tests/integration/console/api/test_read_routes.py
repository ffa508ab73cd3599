"""Our own API: regions, releases, freezes, simulation, the audit log, keys."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.console import audit
from sluiceway.contracts.commands import AbortTrigger, PauseTrigger, SavePipeline
from tests.integration.console.conftest import Served
from tests.support.brokers import Broker
from tests.support.catalogues import phase, pipeline
from tests.support.consoles import running_console
from tests.support.system import EVERYONE, following
from tests.support.waiting import eventually

HOUR = 3_600_000
TRIGGER = "gate.new_checkout.1"


async def get(served: Served, path: str, **query: Any) -> Any:
    answer = await served.console.admin.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def release(served: Served) -> None:
    await served.driver.accepted(
        SavePipeline, pipeline=pipeline(phase("dev", bake_ms=HOUR), triggerNotice="Mind the gap")
    )
    await served.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()


async def test_a_region_says_what_it_runs_and_whether_it_is_confirmed(served: Served, broker: Broker) -> None:
    await release(served)
    async with following(broker.url, "dev"):

        async def confirmed() -> Any:
            region = (await get(served, "regions"))["data"][0]
            return region if region["confirmed"] else None

        region = await eventually(confirmed, "the region has confirmed its rules")
    held = await get(served, "regions/dev")

    assert (region["name"], region["candidates"], region["features"]) == ("dev", [TRIGGER], 1)
    assert [one["name"] for one in region["instances"]] == ["test-dev"]
    assert (held["rules"][0]["name"], held["rules"][0]["triggerID"]) == ("new_checkout", TRIGGER)


async def test_a_region_is_saved_and_deleted(served: Served) -> None:
    admin = served.console.admin

    saved = await admin.put("/api/v1/regions/asia", json={"environment": "production"})
    deleted = await admin.delete("/api/v1/regions/asia")
    gone = await admin.get("/api/v1/regions/asia")

    assert (saved.json()["environment"], saved.json()["confirmed"]) == ("production", None)
    assert (deleted.status_code, gone.status_code) == (200, 404)


async def test_active_releases_are_listed_and_others_by_their_status(served: Served) -> None:
    await release(served)

    active = await get(served, "triggers")
    paused = await get(served, "triggers", status="PAUSED")
    await served.driver.act(PauseTrigger, TRIGGER)
    await served.console.backend.features.catch_up()

    assert [one["id"] for one in active["data"]] == [TRIGGER]
    assert paused == {"data": [], "total": 0}
    assert (await get(served, "triggers", status="PAUSED"))["total"] == 1
    assert await get(served, f"triggers/{TRIGGER}/measurements") == {"rounds": [], "verdicts": []}


async def test_a_release_that_another_has_followed_is_found_by_its_status(served: Served) -> None:
    await release(served)
    await served.driver.act(AbortTrigger, TRIGGER)
    await served.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()

    aborted, active = await get(served, "triggers", status="ABORTED"), await get(served, "triggers")

    assert [one["id"] for one in aborted["data"]] == [TRIGGER]
    assert [one["id"] for one in active["data"]] == ["gate.new_checkout.2"]
    assert await get(served, "triggers", status="ABORTED", pipeline="other") == {"data": [], "total": 0}


async def test_freezes_say_whether_they_are_on(served: Served) -> None:
    body = {"name": "century", "from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}

    saved = await served.console.admin.put("/api/v1/freezes/century", json=body)
    listed = await get(served, "freezes")
    nonsense = {"name": "never", "weekly": [{"from": "x"}]}
    wrong = await served.console.admin.put("/api/v1/freezes/never", json=nonsense)
    await served.console.admin.delete("/api/v1/freezes/century")

    assert saved.json()["isOn"]
    assert listed["data"][0]["nextChangeMs"] == 4_070_908_800_000
    assert wrong.status_code == 400
    assert "invalid time of the week" in wrong.json()["message"]
    assert (await get(served, "freezes"))["data"] == []


async def test_a_simulation_says_who_would_get_it_when_and_changes_nothing(served: Served) -> None:
    await release(served)
    await served.console.admin.put(f"/console/v1/release_pipeline_triggers/{TRIGGER}/abort")
    feature = {
        "kind": "FeatureGate",
        "name": "new_checkout",
        "rules": [EVERYONE],
        "releasePipelineID": "prod-release",
        "description": "again",
    }

    would = (await served.console.admin.post("/api/v1/simulate", json={"feature": feature})).json()

    assert (would["outcome"], would["event"]) == ("accepted", "trigger_started")
    assert (would["triggerID"], would["triggerNotice"]) == ("gate.new_checkout.2", "Mind the gap")
    assert would["phases"]["dev"]["dev"] == "fully"
    assert would["phases"]["dev"]["prod-eu"] == "none"
    assert len(await served.driver.history("new_checkout")) == 2


async def test_the_audit_log_shows_who_did_what_newest_first(served: Served) -> None:
    await release(served)
    await served.console.admin.put(
        f"/console/v1/release_pipeline_triggers/{TRIGGER}/abort", json={"reason": "wrong price"}
    )

    trail = (await get(served, "audit"))["data"]
    by_ada = (await get(served, "audit", actor="ada"))["data"]
    documents = (await get(served, "audit", log="catalogue", pipeline="prod-release"))["data"]

    assert [(one["type"], one["actorID"], one["vouchedBy"]) for one in trail] == [
        ("trigger_aborted", "admin", "bootstrap"),
        ("trigger_started", "ada", None),
    ]
    assert (trail[0]["reason"], trail[0]["pipelineID"]) == ("wrong price", "prod-release")
    assert [one["type"] for one in by_ada] == ["trigger_started"]
    assert {one["type"] for one in documents} == {"save_pipeline"}


async def test_audit_pages_do_not_move_while_more_is_written(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "WINDOW", 4)
    for n in range(10):
        await served.driver.save_gate(f"gate_{n}")
    await served.console.backend.features.catch_up()

    first = await get(served, "audit", limit=3)
    await served.driver.save_gate("later")
    seen = [one["about"] for one in first["data"]]
    following_ = first["next"]
    while following_:
        page = await get(served, "audit", limit=3, before=following_)
        seen += [one["about"] for one in page["data"]]
        following_ = page["next"]

    assert seen == [f"gate.gate_{n}" for n in reversed(range(10))]


async def test_the_audit_log_is_exported_as_json_lines(served: Served) -> None:
    for n in range(20):
        await served.driver.save_gate(f"gate_{n}")
    await served.console.backend.features.catch_up()

    answer = await served.console.admin.get("/api/v1/audit/export", params={"feature": "gate.gate_7"})
    everything = await served.console.admin.get("/api/v1/audit/export")

    assert [json.loads(line)["about"] for line in answer.text.splitlines()] == ["gate.gate_7"]
    assert len(everything.text.splitlines()) == 20
    assert json.loads(everything.text.splitlines()[0])["about"] == "gate.gate_0"


@pytest.mark.parametrize("feature", ["gate.*", "gate.>", "x.y", "gate.a.b"])
async def test_a_filter_cannot_inject_a_subject(served: Served, feature: str) -> None:
    answer = await served.console.admin.get("/api/v1/audit", params={"feature": feature})

    assert answer.status_code == 400


async def test_alerts_show_what_they_did(served: Served) -> None:
    await served.driver.alert("Nothing", gate="unknown")

    async def answered() -> Any:
        return (await get(served, "alerts"))["data"]

    (only,) = await eventually(answered, "the monitor has answered")
    assert (only["alert"]["name"], only["outcome"]) == ("Nothing", "unmatched")


async def test_a_key_is_created_shown_once_and_revoked(served: Served) -> None:
    admin = served.console.admin
    body = {"owner": "ada", "grants": [{"role": "viewer"}], "expiresInSeconds": 3_600}

    created = (await admin.post("/api/v1/keys", json=body)).json()
    async with served.console.caller(created["key"]) as ada:
        works = await ada.get("/api/v1/me")
        hidden = await ada.get("/api/v1/keys")
    listed = await get(served, "keys")
    await admin.delete(f"/api/v1/keys/{created['id']}")
    async with served.console.caller(created["key"]) as ada:
        ended = await ada.get("/api/v1/me")

    assert works.json()["name"] == "ada"
    assert hidden.status_code == 403
    assert created["key"] not in json.dumps(listed)
    assert "argon2" not in json.dumps(listed)
    assert ended.status_code == 401


async def test_a_key_that_is_requested_twice_is_created_once(served: Served) -> None:
    body = {"owner": "ada", "grants": [{"role": "viewer"}]}
    headers = {"Idempotency-Key": "once"}

    first = await served.console.admin.post("/api/v1/keys", json=body, headers=headers)
    again = await served.console.admin.post("/api/v1/keys", json=body, headers=headers)

    assert (first.status_code, again.status_code) == (201, 409)
    assert len((await get(served, "keys"))["data"]) == 2


async def test_too_many_requests_are_refused_with_retry_after(
    served: Served, broker: Broker, tmp_path: Path
) -> None:
    async with running_console(broker.url, tmp_path, requests_per_second=0.2) as slow:
        answers = [await slow.admin.get("/api/v1/me") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
