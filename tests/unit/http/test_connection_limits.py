"""However many connect, those who are served are served on, and health pages answer."""

import asyncio

import pytest

from sluiceway.http import connections, server
from sluiceway.http.file_descriptors import raise_file_descriptor_limit
from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings
from tests.support.sockets import connected_from, silent_connections, status_from
from tests.support.waiting import eventually

from .pages import ATTACKER, GET, OTHER, Pages, serving


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
