"""Connections and streams of the gRPC port are bounded, in total and for each key."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from services.edge import connection_relay
from services.edge.connection_relay import PREFACE
from services.edge.key_store import KeyStore
from services.edge.specs import SpecFeed
from sluiceway import sdk_keys
from sluiceway.client.region_rules import RegionRules
from sluiceway.client.rule_cache import RuleCache
from sluiceway.contracts.catalogue import SdkKey
from sluiceway.http.connections import Connections
from sluiceway.messaging.stream_records import Position
from tests.support.edges import gate_document, gate_record
from tests.support.sockets import connected_from, silent_connections

grpc = pytest.importorskip("grpc")

SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
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


def serving(
    keys: KeyStore,
    folder: Path,
    *,
    connections_max: int = 20,
    per_address: int = 10,
    streams_per_key: int = 10,
    rules: RegionRules | None = None,
) -> Any:
    from services.edge.grpc_stream import grpc_server

    feed = SpecFeed(rules or RegionRules("eu", folder))
    return grpc_server(
        feed,
        keys,
        host="127.0.0.1",
        port=0,
        connections=Connections(connections_max, per_address, lambda address: False),
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


async def is_served(port: int, address: str = "127.0.0.1") -> bool:
    """Return whether the port answers a stream with a wrong key."""
    try:
        async with grpc.aio.insecure_channel(f"{address}:{port}") as channel:
            await streaming(channel, "secret-wrong").read()
    except grpc.aio.AioRpcError as error:
        return bool(error.code() is grpc.StatusCode.UNAUTHENTICATED)
    return False


@pytest.mark.parametrize("sent", [b"", PREFACE + SETTINGS, PREFACE[:5]], ids=["silent", "http2", "partial"])
async def test_connections_of_one_address_are_bounded_and_hinder_nobody(tmp_path: Path, sent: bytes) -> None:
    async with serving(known_keys(tmp_path), tmp_path) as port:
        url = f"http://127.0.0.1:{port}"
        clients = await silent_connections(url, "127.0.0.2", 500)
        for client in clients:
            with contextlib.suppress(OSError):  # it was closed already
                client.send(sent)

        assert await is_served(port)
        for client in clients:
            client.close()


async def test_silent_connections_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_relay, "FIRST_BYTES_SECONDS", 0.05)
    async with (
        serving(known_keys(tmp_path), tmp_path) as port,
        connected_from(f"http://127.0.0.1:{port}") as client,
    ):
        assert await client.rest() == b""


async def test_what_is_not_http2_is_closed(tmp_path: Path) -> None:
    async with (
        serving(known_keys(tmp_path), tmp_path) as port,
        connected_from(f"http://127.0.0.1:{port}") as client,
    ):
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.rest() == b""


async def test_all_streams_share_the_message_of_a_payload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.edge import grpc_stream

    made: list[str] = []
    message = grpc_stream._message

    def counting(spec: str, last_updated: int) -> bytes:
        made.append(spec)
        return message(spec, last_updated)

    monkeypatch.setattr(grpc_stream, "_message", counting)
    key, rules = sdk_keys.mint(), RegionRules("eu", tmp_path)
    rules.replace([gate_document("gate1")], Position("created", 1, 1), 1)
    async with (
        serving(known_keys(tmp_path, key), tmp_path, rules=rules) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        streams = [streaming(channel, key) for _ in range(5)]
        first = [await stream.read() for stream in streams]
        rules.apply(gate_record("gate1", 2), "created", is_live=True)
        second = [await stream.read() for stream in streams]

    assert {answer.lastUpdated for answer in first} == {1}
    assert {answer.lastUpdated for answer in second} == {2}
    assert len(made) == 2
