"""A session: started with a key, kept in a cookie, ended by signing out or with the key."""

import re
from pathlib import Path

import httpx2

from sluiceway.contracts.commands import RevokeKey
from sluiceway.contracts.identity import Role
from tests.support.brokers import Broker
from tests.support.consoles import create_api_key, running_console
from tests.support.http import http_client

from .conftest import Served

HTML = {"accept": "text/html"}


def browser(served: Served) -> httpx2.AsyncClient:
    return http_client(base_url=served.console.url, headers=HTML, timeout=15)


async def sign_in(client: httpx2.AsyncClient, key: str, onward: str = "/") -> httpx2.Response:
    page = await client.get("/sign-in", params={"next": onward})
    return await client.post("/sign-in", data={"csrf": csrf_of(page), "key": key, "next": onward})


def csrf_of(page: httpx2.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


async def test_a_user_who_is_not_signed_in_is_sent_to_sign_in_and_back(served: Served) -> None:
    async with browser(served) as client:
        sent = await client.get("/?a=1")
        back = await sign_in(client, served.console.key, "/?a=1")
        page = await client.get(back.headers["location"])

    assert sent.headers["location"] == "/sign-in?next=%2F%3Fa%3D1"
    assert back.headers["location"] == "/?a=1"
    assert page.status_code == 200
    assert "admin" in page.text


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(served: Served) -> None:
    async with browser(served) as client:
        answer = await sign_in(client, served.console.key)

    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert served.console.key not in cookie


async def test_a_wrong_key_starts_no_session(served: Served) -> None:
    async with browser(served) as client:
        answer = await sign_in(client, "console-bootstrap-nothing")
        after = await client.get("/")

    assert answer.status_code == 401
    assert "wrong, revoked or expired" in answer.text
    assert after.status_code == 303


async def test_signing_in_elsewhere_is_refused(served: Served) -> None:
    async with browser(served) as client:
        await client.get("/sign-in")
        answer = await client.post("/sign-in", data={"csrf": "guessed", "key": served.console.key})

    assert answer.status_code == 403


async def test_no_redirect_leads_to_another_site(served: Served) -> None:
    for onward in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        async with browser(served) as client:
            assert (await sign_in(client, served.console.key, onward)).headers["location"] == "/"


async def test_a_session_ends_with_its_key(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    async with browser(served) as client:
        await sign_in(client, key)
        before = await client.get("/")

        await served.driver.accepted(RevokeKey, key_id=key.split("-")[1])
        await served.console.backend.catalogue.catch_up()

        assert before.status_code == 200
        assert (await client.get("/")).status_code == 303


async def test_a_session_from_before_signing_in_is_worthless_afterwards(served: Served) -> None:
    async with browser(served) as client:
        before = csrf_of(await client.get("/sign-in"))
        await sign_in(client, served.console.key)

        answer = await client.post("/sign-out", data={"csrf": before})
        page = await client.get("/")
        ended = await client.post("/sign-out", data={"csrf": csrf_of(page)})

        assert answer.status_code == 403
        assert ended.headers["location"] == "/sign-in"
        assert (await client.get("/")).status_code == 303


async def test_an_unknown_page_is_an_error_page(served: Served) -> None:
    async with browser(served) as client:
        answer = await client.get("/nothing")

    assert answer.status_code == 404
    assert "<h1>" in answer.text


async def test_behind_tls_a_cookie_never_travels_without_it(
    served: Served, broker: Broker, tmp_path: Path
) -> None:
    async with (
        running_console(broker.url, tmp_path, public_url="https://releases.example") as console,
        http_client(base_url=console.url, headers=HTML) as client,
    ):
        page = await client.get("/sign-in")

    assert "secure" in page.headers["set-cookie"].lower()
    assert page.headers["strict-transport-security"].startswith("max-age=")
