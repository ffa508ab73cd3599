"""Clients that are silent, slow, greedy or invalid, on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.http import bounded_protocol, connections, server
from sluiceway.http.bounded_protocol import BoundedProtocol
from sluiceway.http.file_descriptors import raise_file_descriptor_limit
from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings
from tests.support.sockets import connected_from, silent_connections, status_from
from tests.support.waiting import eventually

SHORT_SECONDS = 0.05
ATTACKER, OTHER = "127.0.0.2", "127.0.0.3"
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * 20_000_000


async def ready() -> dict[str, str]:
    return {}


class Pages:
    """Answers `/`; holds `/held`, and the body of `/late`, until released; answers at length at `/large`."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.held = 0
        self.paths: list[str] = []
        self.sent_bytes = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        if scope["path"] == "/held":
            self.held += 1
            await self.release.wait()
        if scope["path"] == "/late":
            await self.release.wait()
        if scope["method"] == "POST":
            while (message := await receive()).get("more_body"):
                pass
            if message["type"] == "http.disconnect":
                return
        body = LARGE if scope["path"] == "/large" else b"done"
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(pages: Pages, **settings: Any) -> AsyncIterator[str]:
    async with health_server(ServiceSettings(**settings), ready, pages) as url:
        try:
            yield url
        finally:
            pages.release.set()


@pytest.fixture
def short_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bounded_protocol.SECONDS, bounded_protocol._Part.HEADER, SHORT_SECONDS)


@pytest.fixture
def short_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bounded_protocol.SECONDS, bounded_protocol._Part.BODY, SHORT_SECONDS)


async def test_2000_silent_connections_of_one_address_hinder_nobody() -> None:
    raise_file_descriptor_limit()
    async with serving(Pages()) as url:
        silent = await silent_connections(url, ATTACKER, 2_000)
        statuses = [
            await status_from(url, path, address)
            for path in ("/", "/healthz", "/metrics")
            for address in (OTHER, ATTACKER)
        ]
        for client in silent:
            client.close()

    assert statuses == [200] * 6


async def test_everybody_who_is_served_keeps_his_connection_when_others_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "http_connections_max", lambda _: 20)
    pages = Pages()
    async with serving(pages, http_connections_per_address=10) as url, connected_from(url, OTHER) as other:
        await other.send(GET % b"/held")
        await eventually(lambda: pages.held == 1, "the request is being answered")
        silent = []
        for number in range(10, 15):
            silent += await silent_connections(url, f"127.0.0.{number}", 20)
        pages.release.set()
        answer = await other.until(b"done")
        for client in silent:
            client.close()

    assert answer.startswith(b"HTTP/1.1 200")


async def test_too_many_connections_of_one_address_are_refused_but_not_for_health_pages() -> None:
    pages = Pages()
    async with serving(pages, http_connections_per_address=10) as url, asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(status_from(url, "/held", ATTACKER))
        await eventually(lambda: pages.held == 10, "all are being answered")
        async with connected_from(url, ATTACKER) as eleventh:
            await eleventh.send(GET % b"/")
            refusal = await eleventh.rest()
        others = [await status_from(url, "/", OTHER), await status_from(url, "/healthz", ATTACKER)]
        pages.release.set()

    assert refusal.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 5" in refusal
    assert b"too many connections from your address: at most 10" in refusal
    assert others == [200, 200]


async def test_health_pages_answer_when_all_connections_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "http_connections_max", lambda _: 20)
    monkeypatch.setattr(connections, "RESERVED_CONNECTIONS", 2)
    pages = Pages()
    async with serving(pages, http_connections_per_address=10) as url, asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(status_from(url, "/held", f"127.0.0.{number % 2 + 10}"))
        await eventually(lambda: pages.held == 20, "all are being answered")
        silent = await silent_connections(url, ATTACKER, 50)
        statuses = [await status_from(url, path, OTHER) for path in ("/", "/healthz", "/metrics", "/readyz")]
        pages.release.set()
        for client in silent:
            client.close()

    assert statuses == [503, 200, 200, 200]


async def test_the_requests_of_a_client_behind_a_trusted_proxy_are_bounded() -> None:
    pages = Pages()
    settings = {"trusted_proxies": "127.0.0.0/8", "http_connections_per_address": 10}
    held = b"GET %s HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\nConnection: close\r\n\r\n"

    async def ask(url: str, path: bytes, client: bytes) -> bytes:
        async with connected_from(url, ATTACKER) as proxy:
            await proxy.send(held % (path, client))
            return await proxy.rest()

    async with serving(pages, **settings) as url, asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(ask(url, b"/held", b"203.0.113.9"))
        await eventually(lambda: pages.held == 10, "all are being answered")
        refused, served = await ask(url, b"/", b"203.0.113.9"), await ask(url, b"/", b"203.0.113.10")
        same_network = await ask(url, b"/", b"no address")
        pages.release.set()

    assert refused.startswith(b"HTTP/1.1 503")
    assert b"too many requests from your address" in refused
    assert served.startswith(b"HTTP/1.1 200")
    assert same_network.startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("short_header")
async def test_a_connection_without_a_request_is_closed() -> None:
    async with serving(Pages()) as url, connected_from(url) as client:
        assert await client.rest() == b""


@pytest.mark.usefixtures("short_header")
@pytest.mark.parametrize("before", [b"", GET % b"/"])
async def test_a_header_that_does_not_end_is_answered_408(before: bytes) -> None:
    pages = Pages()
    async with serving(pages) as url, connected_from(url) as client:
        await client.send(before)
        if before:
            await client.until(b"done")
        for byte in b"GET / HTTP/1.1\r\nA: ":
            await client.send(bytes([byte]))
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the header of this request did not arrive within" in answer
    assert len(pages.paths) == (1 if before else 0)


@pytest.mark.usefixtures("short_header")
async def test_empty_lines_do_not_keep_a_connection_open() -> None:
    async def send_lines() -> None:
        while True:
            await client.send(b"\r\n")
            await asyncio.sleep(0)

    async with serving(Pages()) as url, connected_from(url) as client:
        sending = asyncio.create_task(send_lines())
        assert await client.rest() == b""
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.usefixtures("short_body")
@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_end_is_answered_408(framing: bytes) -> None:
    async with serving(Pages()) as url, connected_from(url) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the body of this request did not arrive within" in answer


@pytest.mark.usefixtures("short_body")
async def test_a_body_that_the_service_does_not_read_yet_is_waited_for() -> None:
    pages, body = Pages(), b"x" * 400_000
    async with serving(pages) as url, connected_from(url) as client, connected_from(url) as slow:
        await client.send(b"POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n" + body)
        await slow.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        await slow.rest()  # which takes as long as a body may
        pages.release.set()
        answer = await client.until(b"done")

    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_long_answer_outlasts_the_times_of_a_request(short_header: None, short_body: None) -> None:
    pages = Pages()
    async with serving(pages) as url, connected_from(url) as client, connected_from(url) as silent:
        await client.send(GET % b"/held")
        await silent.rest()
        pages.release.set()
        answer = await client.until(b"done")

    assert answer.startswith(b"HTTP/1.1 200")


@pytest.fixture
def unread_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was not sent yet of each connection that is closed because it is not read."""
    unread: list[int] = []
    close = BoundedProtocol._close

    def record(self: BoundedProtocol, reason: str) -> None:
        assert reason == "not read"
        unread.append(self.transport.get_write_buffer_size())
        close(self, reason)

    monkeypatch.setattr(BoundedProtocol, "_close", record)
    return unread


@pytest.mark.parametrize("closes", [b"", b"Connection: close\r\n"])
async def test_who_does_not_read_his_answer_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, unread_bytes: list[int], closes: bytes
) -> None:
    monkeypatch.setattr(bounded_protocol, "UNREAD_SECONDS", SHORT_SECONDS)
    async with serving(Pages()) as url, connected_from(url) as client:
        await client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n" + closes + b"\r\n")
        await eventually(lambda: len(unread_bytes) == 1, "the connection is closed")
        assert len(await client.rest()) < len(LARGE)

    assert 0 < unread_bytes[0] < 1_000_000, "the whole answer was copied for somebody who does not read it"


async def test_a_connection_that_is_to_be_closed_does_not_wait_for_its_reader(
    monkeypatch: pytest.MonkeyPatch, unread_bytes: list[int]
) -> None:
    monkeypatch.setattr(server, "END_UNREAD_EVERY_TICKS", 1)
    connection_made = BoundedProtocol.connection_made

    def with_large_buffer(self: BoundedProtocol, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=len(LARGE))
        connection_made(self, transport)

    monkeypatch.setattr(BoundedProtocol, "connection_made", with_large_buffer)
    async with serving(Pages()) as url, connected_from(url) as client:
        await client.send(b"GET /large HTTP/1.1\r\nConnection: close\r\n\r\n")
        await eventually(lambda: len(unread_bytes) == 1, "the connection is closed")
        assert len(await client.rest()) < len(LARGE)

    assert unread_bytes[0] > 0


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length : 4\r\n\r\nabcd", 400),
    ],
)
async def test_an_invalid_request_is_refused_without_a_line_in_the_log(
    request_: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Pages()) as url, connected_from(url) as client:
        caplog.clear()
        await client.send(request_)
        answer = await client.rest()
        assert await status_from(url, "/", OTHER) == 200

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.count(b"HTTP/1.1") == 1
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
async def test_an_upgrade_is_ignored(upgrade: bytes, caplog: pytest.LogCaptureFixture) -> None:
    pages = Pages()
    header = b"GET / HTTP/1.1\r\nConnection: upgrade, close\r\nUpgrade: " + upgrade + b"\r\n\r\n"
    async with serving(pages) as url, connected_from(url) as client:
        await client.send(header)
        answer = await client.until(b"done")

    assert answer.startswith(b"HTTP/1.1 200")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_requests_sent_ahead_are_answered_in_order_up_to_a_bound() -> None:
    pages = Pages()
    async with serving(pages) as url, connected_from(url) as client:
        await client.send(b"".join(GET % path for path in (b"/held", b"/1", b"/2", b"/3")))
        await eventually(lambda: pages.held == 1, "the first is being answered")
        assert pages.paths == ["/held"]
        pages.release.set()
        for _ in range(4):
            await client.until(b"done")

    assert pages.paths == ["/held", "/1", "/2", "/3"]


async def test_a_flood_of_requests_on_one_connection_is_cut_off() -> None:
    pages = Pages()
    async with serving(pages) as url, connected_from(url, ATTACKER) as flood:
        await flood.send(GET % b"/held" + b"GET / HTTP/1.1\r\n\r\n" * 20_000)
        await flood.rest()
        assert await status_from(url, "/", OTHER) == 200

    assert len(pages.paths) < 100


async def test_readiness_is_checked_once_for_all_who_ask_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, checks, release = 0, 0, asyncio.Event()
    check = server._SharedReadiness.check

    async def counted(self: server._SharedReadiness) -> dict[str, str]:
        nonlocal asked
        asked += 1
        return await check(self)

    async def readiness() -> dict[str, str]:
        nonlocal checks
        checks += 1
        await release.wait()
        return {}

    monkeypatch.setattr(server._SharedReadiness, "check", counted)
    async with health_server(ServiceSettings(), readiness) as url:
        asking = [asyncio.create_task(status_from(url, "/readyz", ATTACKER)) for _ in range(50)]
        await eventually(lambda: asked == 50 and checks, "all have asked")
        meanwhile = checks
        release.set()
        statuses = await asyncio.gather(*asking)
        again = await status_from(url, "/readyz", OTHER)

    assert (statuses, again) == ([200] * 50, 200)
    assert (meanwhile, checks) == (1, 2)


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "endless",
    [b"0\r\nX: " + b"x" * 200_000, b"0\r\n" + b"X: y\r\n" * 50_000, b"1;x=" + b"x" * 200_000],
    ids=["trailer", "trailers", "extension of a chunk"],
)
async def test_what_stands_around_a_body_is_bounded(endless: bytes) -> None:
    async with serving(Pages()) as url, connected_from(url) as client:
        await client.send(CHUNKED + endless)
        answer = await client.rest()

    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


async def test_a_large_body_in_small_chunks_is_read() -> None:
    async with serving(Pages()) as url, connected_from(url) as client:
        await client.send(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
        answer = await client.until(b"done")

    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_field_after_the_body_is_no_header() -> None:
    scopes: list[dict[str, Any]] = []

    async def pages(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with health_server(ServiceSettings(), ready, pages) as url, connected_from(url) as client:
        await client.send(CHUNKED + b"1\r\nx\r\n0\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
        await client.until(b"\r\n\r\n")

    assert [name for name, _ in scopes[0]["headers"]] == [b"host", b"transfer-encoding"]
