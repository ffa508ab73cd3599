"""`python -m tests.benchmarks.waiting_clients URL COUNT KEY…`: clients that an edge keeps waiting.

Each has one of the keys, each of which is used from an address of its own, and a connection from its first
request on. A line of paths makes each of them get one, in turn. Then this says `sent`; `begun` when each has
got its first bytes; and `answered`, with the time and the bytes, once each has a whole answer. It is bare
asyncio, so that it takes little of the cores that it shares with what is measured.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

from .lines import say
from .load import is_whole


class WaitingClient(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, crowd: "Crowd", address: str, key: str) -> None:
        self._crowd = crowd
        self._address = address
        self._key = key
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def get(self, path: str, host: str, port: int) -> None:
        self._answer = b""
        if self._transport is None:
            await asyncio.get_running_loop().create_connection(
                lambda: self, host, port, local_addr=(self._address, 0)
            )
        assert self._transport
        head = (
            f"GET {path} HTTP/1.1\r\nHost: edge\r\nstatsig-api-key: {self._key}\r\nAccept-Encoding: gzip\r\n"
        )
        self._transport.write(f"{head}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if not self._answer:
            assert data.startswith(b"HTTP/1.1 200 "), data
            self._crowd.begin()
        self._answer += data
        if b"content-length: " in self._answer and is_whole(self._answer):
            self._crowd.answer(len(self._answer))

    def connection_lost(self, error: Exception | None) -> None:
        raise SystemExit(f"the edge has closed a connection: {error}")


class Crowd:
    """Says what all clients together have got."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.reset()

    def reset(self) -> None:
        self._begun = self._answered = self._bytes = 0

    def begin(self) -> None:
        self._begun += 1
        if self._begun == self._size:
            say("begun")

    def answer(self, size: int) -> None:
        self._answered += 1
        self._bytes += size
        if self._answered == self._size:
            say("answered", time.perf_counter(), self._bytes)


async def main(url: str, count: int, keys: Sequence[str]) -> None:
    host, port = url.removeprefix("http://").split(":")
    crowd = Crowd(count)
    sources = [(f"127.0.0.{number}", key) for number, key in enumerate(keys, 1)]
    clients = [WaitingClient(crowd, *sources[number % len(sources)]) for number in range(count)]
    say("ready")
    while paths := (await asyncio.to_thread(sys.stdin.readline)).split():
        crowd.reset()
        for number, client in enumerate(clients):
            await client.get(paths[number % len(paths)], host, int(port))
        say("sent")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
