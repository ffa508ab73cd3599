"""Edits of the same feature at the same time, by scripts and by people: none of them is lost."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sluiceway.contracts.commands import AbortTrigger, Command, SavePipeline
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.replies import Reply
from sluiceway.messaging.command_client import CommandClient
from tests.integration.console.conftest import Served
from tests.support.brokers import Broker
from tests.support.catalogues import phase, pipeline
from tests.support.consoles import running_console

from .conftest import Script

HOUR = 3_600_000
EVERYONE = {"name": "everyone", "passPercentage": 100, "conditions": [{"type": "public"}]}
GATE = "/console/v1/gates/one"
RUNS = 20
#: Headers that hold of whatever is there: the edit is made by the same rules with each of them.
CONDITIONS_THAT_HOLD: tuple[dict[str, str], ...] = ({}, {"If-Match": "*"}, {"If-None-Match": '"1-00000000"'})


def a_rule(name: object) -> dict[str, Any]:
    return {**EVERYONE, "name": f"rule-{name}"}


async def gate(served: Served) -> Feature:
    return await served.driver.feature("one")


async def test_each_of_ten_rules_that_are_added_in_parallel_stands(served: Served, script: Script) -> None:
    await script.ok("POST", "gates", {"name": "one", "rules": [EVERYONE]}, status=201)

    await asyncio.gather(*(script.ok("POST", "gates/one/rule", a_rule(n)) for n in range(10)))

    shown = await script.ok("GET", "gates/one")
    assert shown["rules"][0]["name"] == "everyone"
    assert sorted(rule["name"] for rule in shown["rules"][1:]) == [f"rule-{n}" for n in range(10)]


async def test_rules_that_are_added_through_two_consoles_all_stand(
    served: Served, script: Script, broker: Broker, tmp_path: Path
) -> None:
    await script.ok("POST", "gates", {"name": "one"}, status=201)
    (folder := tmp_path / "other").mkdir()
    (folder / "console.key").write_text(served.console.key)
    async with running_console(broker.url, folder) as other:
        scripts = (script, Script(other.admin))

        await asyncio.gather(*(scripts[n % 2].ok("POST", "gates/one/rule", a_rule(n)) for n in range(20)))

    feature = await gate(served)
    assert feature.base
    assert sorted(rule.name for rule in feature.base.rules) == sorted(f"rule-{n}" for n in range(20))


async def test_a_gate_that_is_disabled_while_it_is_described_is_off_and_described(
    served: Served, script: Script
) -> None:
    await script.ok("POST", "gates", {"name": "one", "rules": [EVERYONE]}, status=201)
    for run in range(RUNS):
        await script.ok("PUT", "gates/one/enable")

        await asyncio.gather(
            script.ok("PUT", "gates/one/disable"),
            script.ok("PATCH", "gates/one", {"description": f"run {run}"}),
        )

        shown = await script.ok("GET", "gates/one")
        assert (shown["isEnabled"], shown["description"]) == (False, f"run {run}")


async def test_edits_of_different_parts_at_the_same_time_all_hold(served: Served, script: Script) -> None:
    await script.ok("POST", "gates", {"name": "one", "rules": [a_rule("a"), a_rule("b")]}, status=201)

    await asyncio.gather(
        script.ok("PATCH", "gates/one", {"description": "new"}),
        script.ok("PATCH", "gates/one", {"idType": "companyID"}),
        script.ok("PATCH", "gates/one/rules/rule-a", {**a_rule("a"), "passPercentage": 30}),
        script.ok("DELETE", "gates/one/rules/rule-b"),
        script.ok("POST", "gates/one/rules", {"rules": [a_rule("c"), a_rule("d")]}),
    )

    shown = await script.ok("GET", "gates/one")
    assert (shown["description"], shown["idType"]) == ("new", "companyID")
    assert [(rule["name"], rule["passPercentage"]) for rule in shown["rules"]] == [
        ("rule-a", 30),
        ("rule-c", 100),
        ("rule-d", 100),
    ]


async def test_of_two_creations_in_parallel_one_is_refused(served: Served, script: Script) -> None:
    for run in range(RUNS):
        bodies = [{"name": f"gate-{run}", "description": text} for text in ("first", "second")]

        answers = await asyncio.gather(
            *(served.console.admin.post("/console/v1/gates", json=body) for body in bodies)
        )

        stored = await served.driver.feature(f"gate-{run}")
        created = [answer for answer in answers if answer.status_code == 201]
        refused = [answer for answer in answers if answer.status_code == 409]
        assert (len(created), len(refused)) == (1, 1)
        assert "exists already" in refused[0].json()["message"]
        assert stored.base
        assert stored.base.description == created[0].json()["data"]["description"]


async def test_of_two_values_for_one_field_both_are_answered_by_what_was_stored(
    served: Served, script: Script
) -> None:
    await script.ok("POST", "gates", {"name": "one"}, status=201)
    for run in range(RUNS):
        answers = await asyncio.gather(
            *(
                served.console.admin.patch(GATE, json={"description": f"{run} {text}"})
                for text in ("first", "second")
            )
        )

        history = [e.event.feature.base for e in await served.driver.history("one")]
        stored = {spec.description for spec in history if spec}
        for text, answer in zip(("first", "second"), answers, strict=True):
            assert answer.status_code in (200, 409), answer.text
            assert (f"{run} {text}" in stored) == (answer.status_code == 200)
            if answer.status_code == 409:
                assert answer.json()["code"] == "stale"
                assert "description" in answer.json()["message"]


async def test_an_edit_beside_a_release_is_refused_and_not_lost(served: Served, script: Script) -> None:
    """A description that is edited while a release ends is edited on what the release left."""
    await served.driver.accepted(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=HOUR)))
    await script.ok("POST", "gates", {"name": "one", "rules": []}, status=201)
    await script.ok("PATCH", "gates/one", {"releasePipelineID": "prod-release"})
    started = await script.ok("PATCH", "gates/one", {"rules": [EVERYONE]})

    message = await script.refused("PUT", "gates/one/disable", status=409)
    await served.driver.act(AbortTrigger, started["triggerID"])
    await script.ok("PUT", "gates/one/disable")

    assert "is being released by gate.one.1" in message
    assert not (await script.ok("GET", "gates/one"))["isEnabled"]


async def test_a_whole_gate_is_written_only_over_the_revision_that_was_read(
    served: Served, script: Script
) -> None:
    await script.ok("POST", "gates", {"name": "one", "rules": [EVERYONE]}, status=201)
    http = served.console.admin
    read = await http.get(GATE)
    await script.ok("POST", "gates/one/rule", a_rule("new"))
    whole = {"isEnabled": True, "description": "whole", "rules": [EVERYONE]}

    refused = await http.post(GATE, json=whole, headers={"If-Match": read.headers["ETag"]})
    newest = await http.get(GATE)
    saved = await http.post(GATE, json=whole, headers={"If-Match": newest.headers["ETag"]})

    assert refused.status_code == 412
    assert refused.json()["code"] == "stale"
    assert "gate.one was changed by admin at 20" in refused.json()["message"]
    assert "rules.rule-new" in refused.json()["message"]
    assert newest.headers["ETag"].strip('"') in refused.json()["message"]
    assert saved.status_code == 200
    assert saved.headers["ETag"] == (await http.get(GATE)).headers["ETag"] != newest.headers["ETag"]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({"If-Match": "{etag}"}, 200),
        ({"If-Match": '"1-00000000", {etag}'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-None-Match": '"1-00000000"'}, 200),
        ({"If-Match": "W/{etag}"}, 412),
        ({"If-Match": '"1-00000000"'}, 412),
        ({"If-Match": '"anything"'}, 412),
        ({"If-None-Match": "*"}, 412),
        ({"If-None-Match": "W/{etag}"}, 412),
        ({"If-Match": "17"}, 400),
        ({"If-Match": ""}, 400),
    ],
)
async def test_a_condition_is_compared_as_http_says(
    served: Served, script: Script, header: dict[str, str], status: int
) -> None:
    await script.ok("POST", "gates", {"name": "one"}, status=201)
    etag = (await served.console.admin.get(GATE)).headers["ETag"]
    headers = {name: value.format(etag=etag) for name, value in header.items()}

    answer = await served.console.admin.patch(GATE, json={"description": "x"}, headers=headers)

    assert answer.status_code == status, answer.text
    assert (await gate(served)).versions == (2 if status == 200 else 1)


async def test_only_one_of_ten_writes_from_the_same_reading_is_accepted(
    served: Served, script: Script
) -> None:
    await script.ok("POST", "gates", {"name": "one"}, status=201)
    headers = {"If-Match": (await served.console.admin.get(GATE)).headers["ETag"]}

    async def write(n: int) -> httpx2.Response:
        return await served.console.admin.patch(GATE, json={"description": str(n)}, headers=headers)

    answers = await asyncio.gather(*map(write, range(10)))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, *[412] * 9]
    (saved,) = (answer for answer in answers if answer.status_code == 200)
    stored = (await gate(served)).base
    assert stored
    assert stored.description == saved.json()["data"]["description"]


async def test_ten_writes_to_whatever_is_there_are_all_accepted(served: Served, script: Script) -> None:
    await script.ok("POST", "gates", {"name": "one"}, status=201)

    async def add(n: int) -> httpx2.Response:
        return await served.console.admin.post(f"{GATE}/rule", json=a_rule(n), headers={"If-Match": "*"})

    answers = await asyncio.gather(*map(add, range(10)))

    assert [answer.status_code for answer in answers] == [200] * 10
    assert len((await script.ok("GET", "gates/one"))["rules"]) == 10


async def test_a_conditional_request_that_is_sent_again_is_answered_as_before(
    served: Served, script: Script
) -> None:
    await script.ok("POST", "gates", {"name": "one", "rules": [EVERYONE]}, status=201)
    etag = (await served.console.admin.get(GATE)).headers["ETag"]
    headers = {"If-Match": etag, "Idempotency-Key": "deploy-7"}
    calls = [
        ("PATCH", GATE, {"description": "from CI"}),
        ("DELETE", f"{GATE}/rules/everyone", None),
    ]
    for method, path, body in calls:
        headers["If-Match"] = (await served.console.admin.get(GATE)).headers["ETag"]

        first = await served.console.admin.request(method, path, json=body, headers=headers)
        await script.ok("PATCH", "gates/one", {"idType": f"{method}ID"})
        again = await served.console.admin.request(method, path, json=body, headers=headers)

        assert (first.status_code, again.status_code) == (200, 200), again.text
    assert (await gate(served)).versions == 5


@pytest.mark.parametrize("headers", CONDITIONS_THAT_HOLD)
async def test_an_archived_gate_is_not_brought_back_by_an_edit_beside_its_archiving(
    served: Served, script: Script, headers: dict[str, str]
) -> None:
    for run in range(RUNS):
        name = f"gate-{run}"
        await script.ok("POST", "gates", {"name": name, "rules": [EVERYONE]}, status=201)

        path = f"/console/v1/gates/{name}"

        archived, *described = await asyncio.gather(
            served.console.admin.put(f"{path}/archive"),
            *(
                served.console.admin.patch(path, json={"description": text}, headers=headers)
                for text in ("first", "second")
            ),
        )

        assert archived.status_code == 200
        assert {answer.status_code for answer in described} <= {200, 409}
        assert (await served.driver.feature(name)).archived


@pytest.mark.parametrize("headers", CONDITIONS_THAT_HOLD)
async def test_a_gate_that_is_disabled_while_it_is_enabled_is_off_or_was_enabled_later(
    served: Served, script: Script, headers: dict[str, str]
) -> None:
    """Which of the two requests the console reads first is left to chance."""
    for run in range(RUNS):
        name = f"gate-{run}"
        await script.ok("POST", "gates", {"name": name, "rules": [EVERYONE]}, status=201)
        path = f"/console/v1/gates/{name}"

        disabled, enabled = await asyncio.gather(
            served.console.admin.put(f"{path}/disable"),
            served.console.admin.put(f"{path}/enable", headers=headers),
        )

        stored = (await served.driver.feature(name)).base
        assert stored
        assert disabled.status_code == 200
        assert enabled.status_code in (200, 409)
        assert enabled.status_code == 200 or not stored.is_enabled


@pytest.mark.parametrize("headers", CONDITIONS_THAT_HOLD)
@pytest.mark.parametrize(("field", "status"), [("triggerNotice", 409), ("name", 200)])
async def test_an_edit_of_a_pipeline_is_accepted_only_if_it_fits_an_edit_before_it(
    served: Served, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], field: str, status: int
) -> None:
    saved = pipeline(phase("dev"))
    await served.driver.accepted(SavePipeline, pipeline=saved)
    path, send = "/console/v1/release_pipelines/prod-release", CommandClient.send

    async def send_after_another_edit(commands: CommandClient, command: Command) -> Reply:
        monkeypatch.setattr(CommandClient, "send", send)
        await served.driver.accepted(SavePipeline, pipeline={**saved, "triggerNotice": "theirs"})
        return await send(commands, command)

    monkeypatch.setattr(CommandClient, "send", send_after_another_edit)
    answer = await served.console.admin.post(path, json={field: "ours"}, headers=headers)

    shown = (await served.console.admin.get(path)).json()["data"]
    assert answer.status_code == status, answer.text
    assert shown["triggerNotice"] == "theirs"
    assert (answer.json().get("code") == "stale") == (status == 409)
    assert (shown["name"] == "ours") == (status == 200)
