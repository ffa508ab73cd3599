"""An edge behind proxies: under a path of theirs that they cut off or not, and behind TLS that they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from sluiceway.contracts.commands import SaveFeature
from tests.integration.edge.conftest import Served
from tests.support.brokers import Broker
from tests.support.edges import RunningEdge, running_edge
from tests.support.http import http_client
from tests.support.official import official_sdk, passes
from tests.support.proxies import Proxy, free_port, proxying
from tests.support.waiting import eventually

FLAGS = "/ofrep/v1/evaluate/flags"
CONTEXT = {"context": {"targetingKey": "ada"}}
BETA = {"type": "passes_segment", "targetValue": "beta"}


@asynccontextmanager
async def published(
    dev: Served, broker: Broker, folder: Path, *, path: str, cuts_off: bool, **settings: Any
) -> AsyncIterator[tuple[RunningEdge, Proxy]]:
    """Run a second edge behind a proxy, whose URL it announces."""
    driver, _, key = dev
    checkout = {"kind": "FeatureGate", "name": "checkout", "rules": [{"name": "beta", "conditions": [BETA]}]}
    for document in ({"kind": "Segment", "name": "beta", "ids": ["ada"]}, checkout):
        await driver.saved(SaveFeature, feature=document)
    port = free_port()
    settings = {"public_url": f"http://127.0.0.1:{port}{path}", "instance": "second", **settings}
    async with (
        running_edge(broker.url, "dev", folder, key, **settings) as edge,
        proxying(edge.url, port=port, cut_off=path if cuts_off else "") as proxy,
    ):
        await eventually(lambda: edge.edge.rules.gate({}, "checkout").revision > 0, "the edge has checkout")
        yield edge, proxy


@pytest.mark.parametrize("cuts_off", [True, False])
@pytest.mark.parametrize("path", ["/flags/eu", "/v1", "/sluiceway", "/ofrep/v1"])
async def test_every_route_works_under_the_path_of_a_proxy(
    dev: Served, broker: Broker, tmp_path: Path, path: str, cuts_off: bool
) -> None:
    async with published(dev, broker, tmp_path, path=path, cuts_off=cuts_off) as (_, proxy):
        base = proxy.url + path
        headers = {"x-api-key": dev.key, "statsig-api-key": dev.key}
        async with http_client(headers=headers, timeout=15) as http:
            bulk = await http.post(f"{base}/ofrep/v1/evaluate/flags", json=CONTEXT)
            one = await http.post(f"{base}//ofrep/v1/evaluate/flags/checkout", json=CONTEXT)
            lists = (await http.post(f"{base}/v1/get_id_lists")).json()
            statuses = {
                (await http.get(f"{base}/{route}")).status_code
                for route in ("v2/download_config_specs", "sluiceway/v1/rules", "readyz")
            }
            unknown = await http.get(f"{base}/nothing")
            stream = bulk.json()["eventStreams"][0]["endpoint"]["requestUri"]
            async with http.stream("GET", proxy.url + stream) as events:
                first = await anext(events.aiter_lines())
            announced = lists["segment:beta"]["url"]
            members = await http.get(announced)

    assert (bulk.status_code, one.json()["value"], statuses) == (200, True, {200})
    assert stream.startswith(f"{path}/ofrep/v1/events?")
    assert (events.status_code, first[:1]) == (200, ":")
    assert announced.startswith(f"{base}/v1/id_lists/")
    assert (members.status_code, len(members.content.splitlines())) == (200, 1)
    assert unknown.status_code == 404


@pytest.mark.parametrize("cuts_off", [True, False])
async def test_the_official_sdk_downloads_its_id_lists_through_the_proxy(
    dev: Served, broker: Broker, tmp_path: Path, cuts_off: bool
) -> None:
    async with (
        published(dev, broker, tmp_path, path="/flags", cuts_off=cuts_off) as (_, proxy),
        official_sdk(f"{proxy.url}/flags", dev.key, enable_id_lists=True) as sdk,
    ):
        await eventually(lambda: passes(sdk, "checkout"), "the SDK has the id list")

    assert any(request.startswith("GET /flags/v1/id_lists/") for request in proxy.requests)


async def test_the_official_openfeature_provider_evaluates_through_the_proxy(
    dev: Served, broker: Broker, tmp_path: Path
) -> None:
    async with published(dev, broker, tmp_path, path="/flags", cuts_off=False) as (_, proxy):
        found = await asyncio.to_thread(_ask_by_openfeature, f"{proxy.url}/flags", dev.key)

    assert found is True


async def test_a_compressing_proxy_leaves_a_client_its_304(dev: Served) -> None:
    _, edge, key = dev
    async with proxying(edge.url, compresses=True) as proxy, http_client(base_url=proxy.url) as http:
        first = await http.post(FLAGS, json=CONTEXT, headers={"x-api-key": key})
        tag = first.headers["etag"]
        again = await http.post(FLAGS, json=CONTEXT, headers={"x-api-key": key, "if-none-match": tag})

    assert (first.status_code, first.headers["content-encoding"], tag[:3]) == (200, "gzip", 'W/"')
    assert (again.status_code, again.content) == (304, b"")


async def test_no_shared_cache_may_store_an_answer(dev: Served) -> None:
    driver, edge, key = dev
    await driver.saved(SaveFeature, feature={"kind": "Segment", "name": "beta", "ids": ["ada"]})
    await driver.save_gate("checkout", {"name": "beta", "conditions": [BETA]})
    await eventually(lambda: edge.edge.rules.gate({}, "checkout").revision > 0, "the edge has checkout")
    async with http_client(base_url=edge.url) as stranger:
        bulk = await edge.http.post(FLAGS, json=CONTEXT)
        tag = {"if-none-match": bulk.headers["etag"]}
        answers = [
            await edge.http.post(f"{FLAGS}/checkout", json=CONTEXT),
            await edge.http.post(f"{FLAGS}/nothing", json=CONTEXT),
            await edge.http.post(FLAGS, content=b"{"),
            await edge.http.get("/v2/download_config_specs"),
            await edge.http.get(f"/v1/download_config_specs/{key}.json"),
            await edge.http.get("/sluiceway/v1/rules"),
            await edge.http.get("/v1/get_id_lists"),
            await edge.http.get("/v1/id_lists/segment:beta"),
            await edge.http.post("/v1/log_event", content=b"{}"),
            await stranger.post(FLAGS, json=CONTEXT),
            await stranger.get("/v2/download_config_specs"),
            await stranger.get("/ofrep/v1/events"),
            await stranger.get("/nothing"),
        ]
        revalidated = [bulk, await edge.http.post(FLAGS, json=CONTEXT, headers=tag)]

    assert {answer.headers["cache-control"] for answer in answers} == {"private, no-store"}
    assert [answer.status_code for answer in revalidated] == [200, 304]
    assert {answer.headers["cache-control"] for answer in revalidated} == {"private, no-cache"}


async def test_only_a_trusted_proxy_says_where_its_clients_reach_an_edge(
    dev: Served, broker: Broker, tmp_path: Path
) -> None:
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "evil.example", "host": "flags.example"}
    urls, own = [], []
    for trusted in ("", "10.0.0.0/8", "127.0.0.1"):
        settings = {"public_url": None, "trusted_proxies": trusted, "instance": f"trusts{len(trusted)}"}
        async with published(dev, broker, tmp_path, path="", cuts_off=False, **settings) as (edge, _):
            lists = (await edge.http.post("/v1/get_id_lists", headers=forwarded)).json()
            urls.append(lists["segment:beta"]["url"])
            own.append(edge.url)

    path = "/v1/id_lists/segment%3Abeta"
    assert urls == [own[0] + path, own[1] + path, "https://flags.example" + path]


def _ask_by_openfeature(url: str, key: str) -> bool:
    provider = OFREPProvider(url, headers_factory=lambda: {"Authorization": f"Bearer {key}"})
    api.set_provider_and_wait(provider, "proxied")
    try:
        return api.get_client("proxied").get_boolean_value("checkout", False, EvaluationContext("ada"))
    finally:
        api.shutdown()
