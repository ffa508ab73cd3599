"""Config specs over gRPC, to a plain client and to the official SDK."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from sluiceway import sdk_keys
from sluiceway.contracts.commands import RevokeKey
from tests.integration.edge.conftest import Served
from tests.support.brokers import Broker
from tests.support.edges import RunningEdge, running_edge
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

grpc = pytest.importorskip("grpc")
statsig = pytest.importorskip("statsig_python_core")

STREAM = "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec"
BOUND_SECONDS = 10.0
NOWHERE = "http://127.0.0.1:9"


async def serves(edge: RunningEdge, gate: str) -> None:
    await eventually(lambda: edge.edge.rules.gate({}, gate).revision > 0, f"the edge has {gate}")


def streaming(channel: Any, key: str, since: int = 0) -> Any:
    from services.edge.grpc_stream import Request, Response

    call = channel.unary_stream(
        STREAM, request_serializer=Request.SerializeToString, response_deserializer=Response.FromString
    )
    return call(Request(sdkKey=key, sinceTime=since))


async def test_the_stream_begins_with_the_whole_set_and_goes_on_with_each_change(dev: Served) -> None:
    driver, edge, key = dev
    await driver.save_gate("checkout")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.edge.grpc_port}") as channel:
        await serves(edge, "checkout")
        stream = streaming(channel, key)

        first = await stream.read()
        await driver.save_gate("checkout", EVERYONE)
        second = await stream.read()
        current = await streaming(channel, key, since=second.lastUpdated).read()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await streaming(channel, "secret-wrong").read()

        assert json.loads(first.spec)["feature_gates"]["checkout"]["rules"] == []
        assert json.loads(second.spec)["feature_gates"]["checkout"]["rules"]
        assert second.lastUpdated > first.lastUpdated
        assert json.loads(current.spec) == {"has_updates": False}
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this system has no IPv6")
async def test_an_edge_on_all_addresses_serves_http_and_streams_over_ipv6_and_ipv4(
    dev: Served, broker: Broker, tmp_path: Path
) -> None:
    driver, _, key = dev
    await driver.save_gate("checkout")
    async with running_edge(
        broker.url, "dev", tmp_path, key, http_host="::", grpc_port=0, instance="second"
    ) as edge:
        await serves(edge, "checkout")
        for host in ("127.0.0.1", "[::1]"):
            async with grpc.aio.insecure_channel(f"{host}:{edge.edge.grpc_port}") as channel:
                payload = json.loads((await streaming(channel, key).read()).spec)

            assert "checkout" in payload["feature_gates"]


async def test_a_revoked_key_ends_its_stream_immediately(dev: Served) -> None:
    driver, edge, key = dev
    await driver.save_gate("checkout")
    await serves(edge, "checkout")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.edge.grpc_port}") as channel:
        stream = streaming(channel, key)
        await stream.read()

        await driver.accepted(RevokeKey, keyID=sdk_keys.key_id(key))

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async with asyncio.timeout(BOUND_SECONDS):
                await stream.read()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_official_sdk_follows_the_stream(dev: Served) -> None:
    driver, edge, key = dev
    await driver.save_gate("checkout")
    await serves(edge, "checkout")
    sdk = await asyncio.to_thread(_start, f"http://127.0.0.1:{edge.edge.grpc_port}", key)
    try:
        before = _ask(sdk)
        await driver.save_gate("checkout", EVERYONE)
        await eventually(lambda: _ask(sdk).value, "the SDK has the change")
    finally:
        await asyncio.to_thread(_stop, sdk)

    assert (before.value, before.details.reason) == (False, "Adapter(GRPC):Recognized")


def _start(url: str, key: str) -> Any:
    adapter = statsig.SpecAdapterConfig("network_grpc_websocket", specs_url=url, init_timeout_ms=5_000)
    options = statsig.StatsigOptions(
        spec_adapter_configs=[adapter],
        specs_url=NOWHERE,
        log_event_url=NOWHERE,
        id_lists_url=NOWHERE,
        disable_all_logging=True,
        disable_country_lookup=True,
        output_log_level="none",
    )
    sdk = statsig.Statsig(key, options)
    sdk.initialize().wait()
    return sdk


def _ask(sdk: Any) -> Any:
    return sdk.get_feature_gate(statsig.StatsigUser("ada"), "checkout")


def _stop(sdk: Any) -> None:
    sdk.shutdown().wait()
