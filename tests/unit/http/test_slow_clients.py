"""Clients that send slowly, or do not read, on real sockets."""

import asyncio

import pytest

from sluiceway.http import bounded_protocol, server
from sluiceway.http.bounded_protocol import BoundedProtocol
from tests.support.sockets import connected_from
from tests.support.waiting import eventually

from .pages import GET, LARGE, Pages, serving

SHORT_SECONDS = 0.05


@pytest.fixture
def short_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bounded_protocol.SECONDS, bounded_protocol._Part.HEADER, SHORT_SECONDS)


@pytest.fixture
def short_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bounded_protocol.SECONDS, bounded_protocol._Part.BODY, SHORT_SECONDS)


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
