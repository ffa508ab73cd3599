"""Connections and streams of the gRPC port are bounded, in total and for each key."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.edge.key_store import KeyStore
from services.edge.specs import SpecFeed
from sluiceway import sdk_keys
from sluiceway.client.region_rules import RegionRules
from sluiceway.client.rule_cache import RuleCache
from sluiceway.contracts.catalogue import SdkKey
from tests.support.sockets import connected_from, silent_connections
from tests.support.waiting import eventually

grpc = pytest.importorskip("grpc")

STREAM = "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec"


def known_keys(folder: Path, *keys: str) -> KeyStore:
    store = KeyStore("eu", RuleCache(folder / "keys"))
    for key in keys:
        id_ = sdk_keys.key_id(key)
        store._keys[id_] = SdkKey(id=id_, region="eu", digest=sdk_keys.digest(key), created_ms=0)
    return store


def streaming(channel: Any, key: str) -> Any:
    from services.edge.grpc_stream import Request, Response

    call = channel.unary_stream(
        STREAM, request_serializer=Request.SerializeToString, response_deserializer=Response.FromString
    )
    return call(Request(sdkKey=key))


def serving(keys: KeyStore, folder: Path, *, connections_max: int = 20, streams_per_key: int = 10) -> Any:
    from services.edge.grpc_stream import grpc_server

    feed = SpecFeed(RegionRules("eu", folder))
    return grpc_server(
        feed,
        keys,
        host="127.0.0.1",
        port=0,
        connections_max=connections_max,
        streams_per_key=streams_per_key,
    )


async def test_one_key_has_no_more_streams_than_allowed(tmp_path: Path) -> None:
    key = sdk_keys.mint()
    keys = known_keys(tmp_path, key)
    async with (
        serving(keys, tmp_path, streams_per_key=3) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        reading = [asyncio.create_task(streaming(channel, key).read()) for _ in range(4)]
        done, held = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        refused = done.pop().exception()
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    assert isinstance(refused, grpc.aio.AioRpcError)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "too many streams: you have 3" in (refused.details() or "")
    assert len(held) == 3


async def test_silent_connections_are_bounded_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.edge import grpc_stream

    options = dict(grpc_stream.OPTIONS) | {"grpc.server_handshake_timeout_ms": 200}
    monkeypatch.setattr(grpc_stream, "OPTIONS", list(options.items()))
    key = sdk_keys.mint()
    async with serving(known_keys(tmp_path, key), tmp_path, connections_max=20) as port:
        url = f"http://127.0.0.1:{port}"
        silent = await silent_connections(url, "127.0.0.2", 200)
        async with connected_from(url, "127.0.0.2") as last:
            await last.rest()

        async def is_served() -> bool:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                try:
                    await streaming(channel, "secret-wrong").read()
                except grpc.aio.AioRpcError as error:
                    return bool(error.code() is grpc.StatusCode.UNAUTHENTICATED)
            return False

        await eventually(is_served, "others are served")
        for client in silent:
            client.close()
