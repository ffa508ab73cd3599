"""What an edge keeps for a client that waits."""

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from sluiceway import sdk_keys
from tests.support.edges import RunningEdge, edge_from_disk, gate_document
from tests.support.sockets import RawConnection, connected_from
from tests.support.waiting import eventually

CLIENTS = 200
#: Objects of Python, in bytes for each client; buffers of the system come on top. 10,000 clients must fit in
#: 500 MiB beside the rules.
POLL_BYTES_MAX = 16_000
STREAM_BYTES_MAX = 22_000
BROWSER = "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept-Encoding: gzip, deflate, br\r\n"


async def bytes_of_each(
    edge: RunningEdge, request: str, are_served: Callable[[Sequence[RawConnection]], Awaitable[object]]
) -> float:
    """Return what each of many clients costs that has sent a request, in bytes of Python's memory."""
    async with AsyncExitStack() as held:
        clients = [await held.enter_async_context(connected_from(edge.url)) for _ in range(CLIENTS + 1)]
        await clients[0].send(request.encode())  # what is made once is not counted
        await are_served(clients[:1])
        gc.collect()
        tracemalloc.start()
        try:
            for client in clients[1:]:
                await client.send(request.encode())
            await are_served(clients)
            gc.collect()
            size, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return size / CLIENTS


async def test_a_held_poll_costs_little_memory(tmp_path: Path) -> None:
    key = sdk_keys.mint()
    async with edge_from_disk(tmp_path, key, [gate_document("gate1")]) as edge:
        payload = edge.edge.feed.latest()
        assert payload
        query = f"sinceTime={payload.time}&checksum={payload.checksum}"
        request = f"GET /v2/download_config_specs/{key}.json?{query} HTTP/1.1\r\nHost: x\r\n{BROWSER}\r\n"
        waiting = edge.edge.feed._waiters

        async def are_held(clients: Sequence[RawConnection]) -> None:
            await eventually(lambda: len(waiting) == len(clients), "all polls are held")

        size = await bytes_of_each(edge, request, are_held)

    assert size <= POLL_BYTES_MAX


async def test_an_event_stream_costs_little_memory(tmp_path: Path) -> None:
    key = sdk_keys.mint()
    async with edge_from_disk(tmp_path, key, [gate_document("gate1")]) as edge:
        body = {"context": {"targetingKey": "ada"}}
        flags = (await edge.http.post("/ofrep/v1/evaluate/flags", json=body)).json()
        address = flags["eventStreams"][0]["endpoint"]["requestUri"]
        request = f"GET {address} HTTP/1.1\r\nHost: x\r\nOrigin: https://shop.example.com\r\n{BROWSER}\r\n"
        waiting = edge.edge.feed._waiters

        async def are_open(clients: Sequence[RawConnection]) -> None:
            await eventually(lambda: len(waiting) == len(clients), "all streams are open")

        size = await bytes_of_each(edge, request, are_open)

    assert size <= STREAM_BYTES_MAX
