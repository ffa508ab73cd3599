"""What official SDKs download: payloads, long polls, id lists, the event sink."""

import asyncio
import gzip
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.edge.app import Edge
from services.edge.settings import Settings
from services.edge.statsig import HOLD_SECONDS
from sluiceway import sdk_keys
from sluiceway.cli.current_state import read_reports
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.commands import RevokeKey, SaveFeature
from sluiceway.evaluation.compiled_conditions import member_key
from sluiceway.http.server import health_server
from tests.integration.edge.conftest import Served
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.http import http_client
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

SPECS = "/v2/download_config_specs"


async def specs(edge: RunningEdge, **query: Any) -> dict[str, Any]:
    answer = await edge.http.get(SPECS, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def holding(edge: RunningEdge, gate: str) -> dict[str, Any]:
    """Return the payload once it holds a gate."""

    async def look() -> dict[str, Any] | None:
        answer = await edge.http.get(SPECS)
        found = answer.json() if answer.status_code == 200 else {}
        return found if gate in found.get("feature_gates", {}) else None

    return await eventually(look, f"the payload holds {gate}")


async def is_marked(driver: Driver, edge: RunningEdge) -> bool:
    """Return whether the newest message of the region is the mark that follows the first event in the log."""
    mark = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, subjects.complete_set("dev"))
    return mark.seq == edge.edge.rules.position.sequence


async def save_segment(driver: Driver, name: str, **fields: Any) -> None:
    await driver.accepted(SaveFeature, feature={"kind": "Segment", "name": name, **fields})


async def test_a_held_request_is_answered_as_soon_as_something_changes(dev: Served) -> None:
    driver, edge, _ = dev
    await driver.save_gate("checkout")
    before = await holding(edge, "checkout")
    held = asyncio.create_task(specs(edge, sinceTime=before["time"], checksum=before["checksum"]))

    await driver.save_gate("checkout", EVERYONE)
    after = await held

    assert after["feature_gates"]["checkout"]["rules"]
    assert after["time"] > before["time"]
    assert after["checksum"] != before["checksum"]
    assert re.fullmatch("[a-z0-9]+", after["checksum"])


async def test_an_sdk_with_the_newest_rules_learns_that_nothing_is_new(
    dev: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.statsig.HOLD_SECONDS", 0.05)
    driver, edge, _ = dev
    await driver.save_gate("checkout")
    await holding(edge, "checkout")
    await eventually(partial(is_marked, driver, edge), "the set is marked after the first event")
    newest = await specs(edge)

    by_checksum = await specs(edge, sinceTime=1, checksum=newest["checksum"])
    by_time = await specs(edge, sinceTime=newest["time"])
    older = await specs(edge, sinceTime=newest["time"] - 1)
    ahead = await specs(edge, sinceTime=newest["time"] + 10_000, checksum="other")

    assert by_checksum == by_time == ahead == {"has_updates": False}
    assert older["checksum"] == newest["checksum"]


async def test_a_large_payload_is_compressed_if_the_client_accepts_gzip(dev: Served) -> None:
    driver, edge, _ = dev
    for number in range(10):
        await driver.save_gate(f"gate{number}", EVERYONE)
    await holding(edge, "gate9")

    plain = await edge.http.get(SPECS, headers={"accept-encoding": "identity"})
    async with edge.http.stream("GET", SPECS, headers={"accept-encoding": "gzip, br"}) as packed:
        raw = b"".join([chunk async for chunk in packed.aiter_raw()])

    assert packed.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw)) == plain.json()
    assert len(raw) < len(plain.content) / 2


async def test_without_a_key_of_the_region_there_is_no_answer_and_no_hint(
    broker: Broker, tmp_path: Path
) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await driver.save_gate("checkout")
        right = await create_key(driver, region="dev")
        elsewhere = await create_key(driver, region="staging")
        async with running_edge(broker.url, "dev", tmp_path, right) as edge:
            await holding(edge, "checkout")
            async with http_client(base_url=edge.url) as stranger:
                answers = [
                    await stranger.get(SPECS),
                    *[
                        await stranger.get(f"{SPECS}/{key}.json")
                        for key in ("secret-x", elsewhere, right[:-1])
                    ],
                    await stranger.post("/v1/get_id_lists", headers={"statsig-api-key": elsewhere}),
                    await stranger.get("/v1/id_lists/x"),
                    await stranger.post("/v1/log_event", content=b"{}"),
                    await stranger.get("/sluiceway/v1/rules"),
                    await stranger.post("/ofrep/v1/evaluate/flags/checkout", json={"context": {}}),
                    await stranger.post("/ofrep/v1/evaluate/flags", json={"context": {}}),
                    await stranger.get("/ofrep/v1/events?expires=99999999999&token=abc"),
                ]
                opened = await stranger.get(f"{SPECS}/{right}.json")

            assert {answer.status_code for answer in answers} == {401}
            assert {tuple(answer.json().values()) for answer in answers} == {("unauthorized",)}
            assert opened.status_code == 200


async def test_a_revoked_key_is_refused_immediately(dev: Served) -> None:

    driver, edge, key = dev
    await driver.save_gate("checkout")
    await holding(edge, "checkout")

    await driver.accepted(RevokeKey, keyID=sdk_keys.key_id(key))

    async def refused() -> bool:
        return (await edge.http.get(SPECS)).status_code == 401

    await eventually(refused, "the key is refused")


@pytest.mark.parametrize("path", [SPECS, "/sluiceway/v1/rules"])
async def test_a_held_request_ends_when_its_key_is_revoked_and_gets_no_rules(dev: Served, path: str) -> None:
    driver, edge, key = dev
    await driver.save_gate("checkout")
    newest = await holding(edge, "checkout")
    query = {"sinceTime": newest["time"], "checksum": newest["checksum"]}
    held = asyncio.create_task(edge.http.get(path, params=query))

    await driver.accepted(RevokeKey, keyID=sdk_keys.key_id(key))
    async with asyncio.timeout(HOLD_SECONDS / 2):
        answer = await held

    assert (answer.status_code, answer.json()) == (401, {"message": "unauthorized"})


async def test_a_segments_ids_are_an_id_list_that_is_read_from_where_one_stopped(dev: Served) -> None:
    driver, edge, _ = dev
    await save_segment(driver, "beta", ids=["ada", "bob"])
    condition = {"type": "passes_segment", "targetValue": "beta"}
    await driver.save_gate("checkout", {"name": "beta", "conditions": [condition]})
    payload = await holding(edge, "segment:beta")
    manifest = (await edge.http.post("/v1/get_id_lists")).json()

    entry = manifest["segment:beta"]
    whole = await edge.http.get(entry["url"])
    tail = await edge.http.get(entry["url"], headers={"range": "bytes=10-"})

    assert payload["id_lists"] == {"segment:beta": True}
    assert whole.text == f"+{member_key('ada')}\n+{member_key('bob')}\n"
    assert entry["size"] == len(whole.content)
    assert (tail.status_code, tail.text) == (206, whole.text[10:])
    assert (await edge.flag("checkout", targetingKey="ada"))["value"] is True
    assert (await edge.flag("checkout", targetingKey="eve"))["value"] is False


async def test_events_are_accepted_and_counted(dev: Served) -> None:
    _, edge, _ = dev
    zstd = {"content-encoding": "zstd", "statsig-event-count": "7"}
    taken = await edge.http.post("/v1/log_event", content=b"\x28\xb5\x2f\xfd", headers=zstd)
    large = await edge.http.post("/v1/log_event", content=b"x" * (8 * 1024 * 1024 + 1))

    assert (taken.status_code, taken.json()) == (202, {"success": True})
    assert large.status_code == 413


async def test_a_poll_reports_the_rules_that_its_sdk_has_applied(dev: Served) -> None:

    driver, edge, key = dev
    await driver.save_gate("checkout")
    before = await holding(edge, "checkout")
    session = {"statsig-server-session-id": "0b7e-session"}
    await driver.save_gate("checkout", EVERYONE)
    query = {"sinceTime": before["time"], "checksum": before["checksum"]}
    await edge.http.get(SPECS, params=query, headers=session)

    instance = f"sdk-{sdk_keys.key_id(key)}-0b7e-session"

    async def reported() -> bool:
        reports = (await read_reports(driver.connection)).get("dev", [])
        return any(report.instance == instance and report.sequence for report in reports)

    await eventually(reported, "the session is reported")


async def test_a_key_cannot_report_for_an_edge_or_for_processes_of_another_key(dev: Served) -> None:
    driver, edge, key = dev
    other = await create_key(driver, region="dev")
    await driver.save_gate("checkout", EVERYONE)
    served = await holding(edge, "checkout")
    await eventually(lambda: edge.edge.keys.is_authorized(other), "the other key is known")
    before = (await read_reports(driver.connection))["dev"]
    query = {"sinceTime": served["time"] - 1, "checksum": "old"}
    known = {"sinceTime": served["time"], "checksum": "old"}
    for name in (edge.edge.instance, f"../{edge.edge.instance}", f"sdk-{sdk_keys.key_id(key)}-a", "*.>"):
        session = {"statsig-server-session-id": name, "statsig-api-key": other}
        for params in (query, known):
            await edge.http.get(SPECS, params=params, headers=session)
    await eventually(lambda: not edge.edge.poll_reports.has_due, "all reports are published")

    async def reported() -> dict[str, AppliedReport] | None:
        reports = {report.instance: report for report in (await read_reports(driver.connection))["dev"]}
        applied = edge.edge.rules.position.sequence
        return reports if reports[edge.edge.instance].sequence >= applied else None

    reports = await eventually(reported, "the edge has reported what it has applied")
    new = reports.keys() - {report.instance for report in before}
    assert all(name.startswith(f"sdk-{sdk_keys.key_id(other)}-") for name in new)


async def test_odd_numbers_are_refused_and_not_counted(dev: Served) -> None:
    before = REGISTRY.get_sample_value("sluiceway_sdk_events_total")
    for number in (
        "-1",
        "+1",
        "1.0",
        "1e3",
        "NaN",
        "1_000",
        "1 x",
        "٣",
        "²",
        "9" * 400,
        "9" * 5_000,
        "0x1",
        "",
    ):
        headers = {"statsig-event-count": number.encode(), "statsig-api-key": dev.key.encode()}
        batch = await dev.edge.http.post(
            "/v1/log_event",
            content=b"{}",
            headers=[(name.encode(), value) for name, value in headers.items()],
        )
        poll = await dev.edge.http.get(SPECS, params={"sinceTime": number or " "})

        assert (batch.status_code, poll.status_code) == (400, 400), number
        assert "use a whole number from 0 to 100000" in batch.json()["message"]
    counted = REGISTRY.get_sample_value("sluiceway_sdk_events_total")
    list_ = await dev.edge.http.get("/v1/id_lists/segment:x", headers={"range": f"bytes={'9' * 5_000}-"})
    await dev.edge.http.post("/v1/log_event", content=b"{}", headers={"statsig-event-count": "2000"})

    assert counted == before
    assert list_.status_code == 404
    assert REGISTRY.get_sample_value("sluiceway_sdk_events_total") == (before or 0) + 2_000


async def test_an_edge_alone_serves_its_last_rules_and_keys_after_its_own_restart(
    broker: Broker, tmp_path: Path
) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await driver.save_gate("checkout", EVERYONE)
        key = await create_key(driver, region="dev")
        async with running_edge(broker.url, "dev", tmp_path, key) as edge:
            served = await holding(edge, "checkout")
    broker.kill()

    settings = Settings(nats_url=broker.url, region="dev", snapshot_dir=tmp_path)
    alone = Edge(settings)
    async with (
        health_server(settings, alone.readiness, alone.pages) as url,
        http_client(base_url=url, headers={"statsig-api-key": key, "x-api-key": key}) as http,
    ):
        again = (await http.get(SPECS)).json()
        flag = await http.post("/ofrep/v1/evaluate/flags/checkout", json={"context": {"targetingKey": "u"}})
        ready = await http.get("/readyz")

    assert again == served
    assert (flag.json()["value"], flag.json()["reason"]) == (True, "STALE")
    assert ready.status_code == 200
    alone.rules.close()
    alone.keys.close()
