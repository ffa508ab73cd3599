"""`python -m tests.benchmarks.stub_prometheus URL_FILE`: a Prometheus that answers a constant, and counts.

`/counts` gives what was asked since the last look at it, as JSON. Bare asyncio, so that it takes little
of the cores that it shares with what is measured.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sluiceway.http.server import write_atomically

#: As long as a real one takes for a small query.
ANSWER_SECONDS = 0.01
HEAD_END = b"\r\n\r\n"
SERIES = {"resultType": "vector", "result": [{"metric": {}, "value": [0, "0.01"]}]}
CONSTANT = json.dumps({"status": "success", "data": SERIES}).encode()


class Counts:
    """What was asked."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._in_flight_max = 0
        self._queries: Counter[str] = Counter()
        self._seconds: Counter[int] = Counter()

    def begin(self, parameters: str) -> None:
        self.in_flight += 1
        self._in_flight_max = max(self._in_flight_max, self.in_flight)
        self._queries[parse_qs(parameters)["query"][0]] += 1
        self._seconds[int(time.time())] += 1

    def take(self) -> bytes:
        counts = {
            "queries": self._queries.total(),
            "distinct": len(self._queries),
            "most": max(self._queries.values(), default=0),
            "inFlightMax": self._in_flight_max,
            "seconds": {str(second): count for second, count in self._seconds.items()},
        }
        self._queries.clear()
        self._seconds.clear()
        self._in_flight_max = self.in_flight
        return json.dumps(counts).encode()


class Answering(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, found, _ = self._request.partition(HEAD_END)
        if not found:
            return
        self._request = b""
        address = head.split(b" ", 2)[1].decode()
        if address == "/counts":
            self._send(self._counts.take())
            return
        self._counts.begin(urlsplit(address).query)
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._answer)

    def _answer(self) -> None:
        self._counts.in_flight -= 1
        self._send(CONSTANT)

    def _send(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


async def serve(url_file: Path) -> None:
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(counts), "127.0.0.1", 0)
    write_atomically(url_file, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
