"""Documents of the catalogue are written only over the revision that was read: ETag and If-Match."""

import asyncio
from typing import Any, NamedTuple

import httpx2
import pytest

from sluiceway.contracts.commands import SavePipeline
from tests.integration.console.conftest import Served
from tests.support.catalogues import phase

WEEKEND = {"name": "quiet", "timeZone": "UTC", "weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}]}


class Resource(NamedTuple):
    """A document that an admin may write."""

    path: str
    write: str
    first: dict[str, Any]
    second: dict[str, Any]
    #: The field that a message names.
    field: str


RESOURCES = {
    "region": Resource(
        "/api/v1/regions/prod-new",
        "PUT",
        {"environment": "production", "attributes": {"region": "new"}},
        {"environment": "production", "attributes": {"region": "newer"}},
        "attributes",
    ),
    "freeze": Resource(
        "/api/v1/freezes/quiet", "PUT", WEEKEND, {**WEEKEND, "timeZone": "Europe/Berlin"}, "timeZone"
    ),
    "alert_source": Resource(
        "/api/v1/alert-sources/ci", "PUT", {"name": "ci"}, {"name": "ci", "features": ["gate.x"]}, "features"
    ),
    "pipeline": Resource(
        "/console/v1/release_pipelines/prod-release",
        "POST",
        {"triggerNotice": "first"},
        {"triggerNotice": "second"},
        "triggerNotice",
    ),
}


@pytest.fixture(params=RESOURCES)
async def resource(request: pytest.FixtureRequest, served: Served) -> Resource:
    """A document that was written once."""
    resource = RESOURCES[request.param]
    answer = await send(served, resource, resource.first)
    assert answer.status_code == 200, answer.text
    return resource


async def send(
    served: Served, resource: Resource, body: dict[str, Any] | None, **headers: str
) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    method = resource.write if body is not None else "DELETE"
    return await served.console.admin.request(method, resource.path, json=body, headers=sent)


async def etag(served: Served, resource: Resource) -> str:
    answer = await served.console.admin.get(resource.path)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["ETag"])


async def test_a_document_is_written_over_the_revision_that_was_read(
    served: Served, resource: Resource
) -> None:
    read = await etag(served, resource)

    changed = await send(served, resource, resource.second, If_Match=read)
    refused = await send(served, resource, resource.first, If_Match=read)

    assert (changed.status_code, refused.status_code) == (200, 412)
    assert changed.headers["ETag"] == await etag(served, resource) != read
    message = refused.json()["message"]
    assert "was changed by admin at 20" in message
    assert f"since you read it: {resource.field};" in message
    assert refused.json()["code"] == "stale"


async def test_a_document_is_deleted_only_as_it_was_read(served: Served, resource: Resource) -> None:
    read = await etag(served, resource)
    await send(served, resource, resource.second)

    refused = await send(served, resource, None, If_Match=read)
    deleted = await send(served, resource, None, If_Match=await etag(served, resource))

    assert (refused.status_code, deleted.status_code) == (412, 200)
    assert (await served.console.admin.get(resource.path)).status_code == 404


async def test_one_of_ten_writes_from_the_same_reading_is_accepted(
    served: Served, resource: Resource
) -> None:
    read = await etag(served, resource)

    answers = await asyncio.gather(
        *(send(served, resource, resource.second, If_Match=read) for _ in range(10))
    )

    assert sorted({answer.status_code for answer in answers}) == [200, 412]
    assert sum(answer.status_code == 200 for answer in answers) == 1


async def test_a_document_is_created_only_if_it_does_not_exist(served: Served) -> None:
    resource = RESOURCES["freeze"]

    answers = [await send(served, resource, resource.first, If_None_Match="*") for _ in range(2)]
    unknown = await served.console.admin.put(
        "/api/v1/freezes/other", json={**WEEKEND, "name": "other"}, headers={"If-Match": "*"}
    )

    assert [answer.status_code for answer in answers] == [200, 412]
    assert "freeze quiet" in answers[1].json()["message"]
    assert unknown.status_code == 412
    assert "it does not exist" in unknown.json()["message"]


async def test_a_write_that_is_sent_again_is_answered_as_before(served: Served, resource: Resource) -> None:
    headers = {"If_Match": await etag(served, resource), "Idempotency_Key": "deploy-7"}

    answers = [await send(served, resource, resource.second, **headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]


async def test_two_changes_of_a_pipeline_at_the_same_time_both_hold(served: Served) -> None:
    resource = RESOURCES["pipeline"]
    for run in range(20):
        bodies: list[dict[str, Any]] = [
            {"triggerNotice": f"run {run}"},
            {"observeForMs": run},
            {"name": f"run {run}"},
        ]

        answers = await asyncio.gather(*(send(served, resource, body) for body in bodies))

        stored = (await served.console.admin.get(resource.path)).json()["data"]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert {name: stored[name] for body in bodies for name in body} == {
            name: value for body in bodies for name, value in body.items()
        }


async def test_of_two_creations_of_a_pipeline_one_is_refused(served: Served) -> None:
    for run in range(10):
        bodies = [
            {"name": f"new-{run}", "triggerNotice": text, "phases": [phase("dev")]}
            for text in ("one", "other")
        ]

        answers = await asyncio.gather(
            *(served.console.admin.post("/console/v1/release_pipelines", json=body) for body in bodies)
        )

        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_an_environment_has_an_etag(served: Served) -> None:
    path = "/console/v1/environments"
    read = await served.console.admin.get(f"{path}/staging")
    body = {"name": "staging", "requiresReleasePipeline": False}
    headers = {"If-Match": read.headers["ETag"]}

    changed = await served.console.admin.post(path, json=body, headers=headers)
    stale = await served.console.admin.post(path, json={**body, "isProduction": True}, headers=headers)

    assert (changed.status_code, stale.status_code) == (200, 412)
    assert "requiresReleasePipeline" in stale.json()["message"]


async def test_an_action_may_be_meant_for_the_release_as_it_was_read(served: Served) -> None:
    await served.driver.save_gate("one")
    held = {"name": "everyone", "conditions": [{"type": "public"}]}
    slow = {"name": "slow", "phases": [phase("dev", bake_ms=3_600_000)]}
    await served.driver.accepted(SavePipeline, pipeline=slow)
    await served.driver.save_gate("one", held, releasePipelineID="slow")
    await served.console.backend.features.catch_up()
    path = "/console/v1/release_pipeline_triggers/gate.one.1"
    read = (await served.console.admin.get(path)).headers["ETag"]
    body = {"phaseID": "dev"}

    paused = await served.console.admin.put(f"{path}/pause", json=body, headers={"If-Match": read})
    stale = await served.console.admin.put(f"{path}/abort", headers={"If-Match": read})

    assert (paused.status_code, stale.status_code) == (200, 412)
    assert "(trigger_paused) since you read it: nothing in the document itself" in stale.json()["message"]
