"""Sign in through an identity provider: only users whom it proves, with the roles of their groups."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.console.oidc import identity_provider
from services.console.settings import Settings
from sluiceway.errors import Misconfigured
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.consoles import RunningConsole, running_console
from tests.support.oidc import CLIENT, SECRET, FakeProvider, running_provider
from tests.support.system import driving, services

ADA = {"email": "ada@example.com", "email_verified": True, "groups": ["sre", "others"]}
ROLES = "sre: [{role: approver, environments: [production]}, {role: operator}]\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with running_provider() as provider:
        provider.claims = dict(ADA)
        yield provider


@pytest.fixture
async def console(broker: Broker, tmp_path: Path, provider: FakeProvider) -> AsyncIterator[RunningConsole]:
    port = free_port()
    roles = tmp_path / "roles.yaml"
    roles.write_text(ROLES)
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        async with running_console(
            broker.url,
            tmp_path,
            http_port=port,
            public_url=f"http://127.0.0.1:{port}",
            oidc_issuer=provider.url,
            oidc_client_id=CLIENT,
            oidc_client_secret=SECRET,
            oidc_roles=roles,
        ) as console:
            yield console


@asynccontextmanager
async def signed_in(console: RunningConsole) -> AsyncIterator[tuple[httpx2.Response, httpx2.AsyncClient]]:
    """Yield the last page of a sign-in, and the browser."""
    headers = {"accept": "text/html"}
    async with httpx2.AsyncClient(base_url=console.url, headers=headers, timeout=15) as client:
        answer = await client.get("/sign-in/elsewhere?next=/features", follow_redirects=True)
        yield answer, client


async def test_groups_become_grants(console: RunningConsole) -> None:
    async with signed_in(console) as (answer, client):
        me = (await client.get("/api/v1/me")).json()

    assert (answer.status_code, answer.url.path) == (200, "/features")
    assert me["name"] == "ada@example.com"
    assert me["groups"] == ["sre"]
    assert [grant["role"] for grant in me["grants"]] == ["approver", "operator"]
    assert me["vouchedBy"] == "console"


async def test_the_sign_in_page_offers_the_provider(console: RunningConsole, provider: FakeProvider) -> None:
    async with console.caller(None) as client:
        page = await client.get("/sign-in")

    assert f"Sign in with {provider.url.removeprefix('http://')}" in page.text


@pytest.mark.parametrize(
    ("false_claims", "algorithm", "is_forged"),
    [
        ({"nonce": "another"}, "RS256", False),
        ({"iss": "http://evil.example"}, "RS256", False),
        ({"aud": "somebody-else"}, "RS256", False),
        ({"exp": 1}, "RS256", False),
        ({}, "RS256", True),
        ({}, "HS256", False),
        ({}, "none", False),
    ],
    ids=["nonce", "issuer", "audience", "expired", "forged", "shared secret", "unsigned"],
)
async def test_an_unproved_token_signs_nobody_in(
    console: RunningConsole,
    provider: FakeProvider,
    false_claims: dict[str, Any],
    algorithm: str,
    is_forged: bool,
) -> None:
    provider.false_claims, provider.algorithm, provider.is_forged = false_claims, algorithm, is_forged

    async with signed_in(console) as (answer, client):
        after = await client.get("/api/v1/me")

    assert answer.status_code == 401, answer.text
    assert after.status_code == 401


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"groups": ["others"]}, "none of the groups of ada@example.com has a role here"),
        ({"groups": "sre"}, "none of the groups of ada@example.com has a role here"),
        ({"email_verified": False}, "has not verified your email"),
        ({"email": "monitor"}, "sent no usable claim &#39;email&#39;"),
        ({"email": "a\r\nb"}, "sent no usable claim &#39;email&#39;"),
        ({"email": None}, "sent no usable claim &#39;email&#39;"),
    ],
)
async def test_a_user_without_a_role_sees_why(
    console: RunningConsole, provider: FakeProvider, claims: dict[str, Any], why: str
) -> None:
    provider.claims = {**ADA, **claims}

    async with signed_in(console) as (answer, client):
        after = await client.get("/api/v1/me")

    assert answer.status_code == 403
    assert why in answer.text
    assert after.status_code == 401


async def test_a_code_or_a_state_is_good_once_and_for_its_browser(console: RunningConsole) -> None:
    client = httpx2.AsyncClient(base_url=console.url, headers={"accept": "text/html"}, timeout=15)
    async with client, console.caller(None) as thief:
        to_provider = await client.get("/sign-in/elsewhere")
        back = await client.get(to_provider.headers["location"])
        stolen = await thief.get(back.headers["location"])
        first = await client.get(back.headers["location"])
        second = await client.get(back.headers["location"])

    assert (stolen.status_code, first.status_code, second.status_code) == (401, 303, 401)


async def test_a_forged_host_does_not_change_the_redirect(console: RunningConsole) -> None:
    async with console.caller(None) as client:
        answer = await client.get("/sign-in/elsewhere", headers={"host": "evil.example"})

    found = re.search(r"redirect_uri=([^&]+)", answer.headers["location"])
    assert found
    assert "evil" not in found[1]


async def test_keys_work_while_the_provider_is_down(broker: Broker, tmp_path: Path) -> None:
    roles = tmp_path / "roles.yaml"
    roles.write_text(ROLES)
    nobody = f"http://127.0.0.1:{free_port()}"
    async with (
        services(broker.url),
        running_console(
            broker.url,
            tmp_path,
            public_url="http://localhost",
            oidc_issuer=nobody,
            oidc_client_id=CLIENT,
            oidc_roles=roles,
        ) as console,
        console.caller(None) as client,
    ):
        elsewhere = await client.get("/sign-in/elsewhere")
        mine = await console.admin.get("/api/v1/me")

    assert (elsewhere.status_code, mine.status_code) == (503, 200)
    assert "sign in with a key" in elsewhere.json()["message"]


def test_an_incomplete_provider_configuration_is_refused_at_the_start(tmp_path: Path) -> None:
    half = Settings(oidc_issuer="https://id.example")
    wrong = tmp_path / "roles.yaml"
    wrong.write_text("sre: [{role: king}]")
    whole = {"oidc_issuer": "https://id.example", "oidc_client_id": "x", "public_url": "https://x"}

    with pytest.raises(Misconfigured, match="needs SLUICEWAY_OIDC_CLIENT_ID and SLUICEWAY_OIDC_ROLES"):
        identity_provider(half)
    with pytest.raises(Misconfigured, match="sre"):
        identity_provider(Settings.model_validate({**whole, "oidc_roles": wrong}))
    with pytest.raises(Misconfigured, match="cannot be read"):
        identity_provider(Settings.model_validate({**whole, "oidc_roles": tmp_path / "none"}))
