"""Requests that are invalid, too large or too many, on real sockets."""

from typing import Any

import pytest

from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings
from tests.support.sockets import connected_from, status_from
from tests.support.waiting import eventually

from .pages import ATTACKER, GET, OTHER, Pages, ready, serving


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
