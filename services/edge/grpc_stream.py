"""The gRPC stream of config specs that official SDKs can follow instead of HTTP (`sluiceway[grpc]`).

`statsig_forward_proxy.StatsigForwardProxy`: the SDKs' adapter is called `network_grpc_websocket`, but
it is plain gRPC. Its messages have three fields each, and are declared below.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sluiceway.contracts.catalogue import SdkKey
from sluiceway.http.concurrency_limit import ConcurrencyLimit, LimitReached
from sluiceway.http.connections import Connections
from sluiceway.http.listening import listen

from .connection_relay import relaying
from .key_store import KeyStore
from .send_slots import SendSlots
from .specs import SpecFeed, SpecPayload

log = logging.getLogger(__name__)

SERVICE = "statsig_forward_proxy.StatsigForwardProxy"
NOTHING_NEW = '{"has_updates":false}'
#: The largest message that the SDKs accept.
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
#: Requests have three short fields.
REQUEST_BYTES_MAX = 16 * 1024
METADATA_BYTES_MAX = 16 * 1024
STREAMS_MAX = 10_000
#: Streams on one connection; an SDK opens one.
STREAMS_PER_CONNECTION_MAX = 100
#: How long a new connection may take until it speaks HTTP/2.
HANDSHAKE_SECONDS = 5
#: How long a connection is kept that has no stream.
IDLE_SECONDS = 30
#: A client that does not acknowledge a ping is gone.
PING_EVERY_SECONDS = 60
PING_ANSWER_SECONDS = 20
#: How long a stream waits for a change before it waits again; clients do not notice.
WAIT_SECONDS = 60.0
STOP_SECONDS = 2.0
OPTIONS = [
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", REQUEST_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1_000),
    ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1_000),
    ("grpc.keepalive_time_ms", PING_EVERY_SECONDS * 1_000),
    ("grpc.keepalive_timeout_ms", PING_ANSWER_SECONDS * 1_000),
    # The SDKs ping every 30 s on a silent stream; by default that counts as an attack.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]

_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_UINT64 = descriptor_pb2.FieldDescriptorProto.TYPE_UINT64
_OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
_FIELDS = {
    "ConfigSpecRequest": (("sdkKey", 1, _STRING), ("zstdDictId", 4, _STRING), ("sinceTime", 12, _UINT64)),
    "ConfigSpecResponse": (("spec", 1, _STRING), ("lastUpdated", 2, _UINT64), ("zstdDictId", 3, _STRING)),
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="sluiceway/statsig_forward_proxy.proto", package="statsig_forward_proxy", syntax="proto3"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, type_ in fields:
            message.field.add(
                name=field,
                number=number,
                type=type_,
                label=_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
        for name in _FIELDS
    }


MESSAGES = _messages()
Request, Response = MESSAGES["ConfigSpecRequest"], MESSAGES["ConfigSpecResponse"]


@asynccontextmanager
async def grpc_server(
    feed: SpecFeed,
    keys: KeyStore,
    *,
    host: str,
    port: int,
    connections: Connections,
    streams_per_key: int,
) -> AsyncIterator[int]:
    """Serve the stream while the block runs; yield the port, a free one if `port` is 0."""
    streams = ConcurrencyLimit(STREAMS_MAX, streams_per_key)
    server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=STREAMS_MAX)
    server.add_generic_rpc_handlers((_Handler(feed, keys, streams).generic(),))
    with TemporaryDirectory(prefix="sluiceway-") as folder, listen(host, port) as listener:
        target = Path(folder) / "grpc"
        server.add_insecure_port(f"unix:{target}")
        await server.start()
        async with relaying(listener, target, connections):
            try:
                yield listener.getsockname()[1]
            finally:
                await server.stop(STOP_SECONDS)


class _Handler:
    def __init__(self, feed: SpecFeed, keys: KeyStore, streams: ConcurrencyLimit) -> None:
        self._feed = feed
        self._keys = keys
        self._streams = streams
        self._slots = SendSlots()
        #: The newest payload that was sent, and its message: all streams share it.
        self._newest: tuple[SpecPayload, bytes] | None = None

    def generic(self) -> Any:
        """Return both methods, for `add_generic_rpc_handlers`."""
        forms = {"request_deserializer": Request.FromString}
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "StreamConfigSpec": grpc.unary_stream_rpc_method_handler(self.stream, **forms),
                "getConfigSpec": grpc.unary_unary_rpc_method_handler(self.get, **forms),
            },
        )

    async def get(self, request: Any, context: Any) -> Any:
        """Return the message with all specs."""
        key = await self._key(request, context)
        try:
            with self._streams.acquire(key.id):
                return await self._full(await self._feed.wait_for_latest(), context)
        except LimitReached as error:
            return await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"too many streams: {error}")

    async def stream(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        """Stream messages with all specs, immediately and after each change, until the key is revoked."""
        key = await self._key(request, context)
        try:
            with self._streams.acquire(key.id):
                published = await self._feed.wait_for_latest()
                # Not the payload itself: a client that does not read would keep an old one in memory.
                known = published.time, published.checksum
                if published.is_newer_than(request.sinceTime, None):
                    known = 0, ""
                else:
                    yield _message(NOTHING_NEW, published.time)
                del published
                while not self._feed.is_closed:
                    newer = await self._feed.wait_for_newer(
                        *known, WAIT_SECONDS, lambda: self._keys.is_valid(key)
                    )
                    await self._require(key, context)
                    if newer is None:
                        continue
                    async with self._slots.of(key.id):
                        await self._require(key, context)
                        newest = self._feed.latest() or newer
                        known = newest.time, newest.checksum
                        message = await self._full(newest, context)
                        del newer, newest
                        yield message
        except LimitReached as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"too many streams: {error}")

    async def _key(self, request: Any, context: Any) -> SdkKey:
        key = self._keys.find(request.sdkKey)
        if key is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unauthorized")
        assert key  # `abort` raises
        return key

    async def _require(self, key: SdkKey, context: Any) -> None:
        """End the stream if its key was revoked."""
        if not self._keys.is_valid(key):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unauthorized")

    async def _full(self, published: SpecPayload, context: Any) -> bytes:
        if self._newest is None or self._newest[0] is not published:
            self._newest = published, _message(published.specs.text.decode(), published.time)
            if len(self._newest[1]) > MESSAGE_BYTES_MAX:
                log.error(
                    "the specs have %s bytes, more than a gRPC message may have (%s); use HTTP",
                    len(self._newest[1]),
                    MESSAGE_BYTES_MAX,
                )
        message = self._newest[1]
        if len(message) > MESSAGE_BYTES_MAX:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "the specs are too large for a gRPC message; use HTTP"
            )
        return message


def _message(spec: str, last_updated: int) -> bytes:
    message: bytes = Response(spec=spec, lastUpdated=last_updated).SerializeToString()
    return message
