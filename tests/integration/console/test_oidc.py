"""Sign in through an identity provider: only users whom it proves, with the roles of their groups."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import HTTPException, Request

from services.console.authentication import SIGN_INS_MAX
from services.console.oidc import identity_provider
from services.console.settings import Settings
from sluiceway.contracts.commands import SavePipeline
from sluiceway.contracts.identity import Role
from sluiceway.errors import Misconfigured
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue, phase, pipeline
from tests.support.consoles import RunningConsole, create_api_key, running_console
from tests.support.http import http_client
from tests.support.oidc import CLIENT, SECRET, FakeProvider, running_provider
from tests.support.system import EVERYONE, driving, services

from .test_sign_in import csrf_of

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
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        async with provided_console(broker, tmp_path, provider) as console:
            yield console


@asynccontextmanager
async def provided_console(
    broker: Broker, folder: Path, provider: FakeProvider, **settings_: Any
) -> AsyncIterator[RunningConsole]:
    """Run a console whose users sign in through the provider."""
    port = free_port()
    roles = folder / "roles.yaml"
    roles.write_text(ROLES)
    async with running_console(
        broker.url,
        folder,
        http_port=port,
        public_url=f"http://127.0.0.1:{port}",
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        oidc_roles=roles,
        **settings_,
    ) as console:
        yield console


@asynccontextmanager
async def signed_in(console: RunningConsole) -> AsyncIterator[tuple[httpx2.Response, httpx2.AsyncClient]]:
    """Yield the last page of a sign-in, and the browser."""
    headers = {"accept": "text/html"}
    async with http_client(base_url=console.url, headers=headers, timeout=15) as client:
        answer = await client.get("/sign-in/elsewhere?next=/features", follow_redirects=True)
        yield answer, client


async def test_groups_become_grants(console: RunningConsole, provider: FakeProvider) -> None:
    async with signed_in(console) as (answer, client):
        me = (await client.get("/api/v1/me")).json()

    assert (answer.status_code, answer.url.path) == (200, "/features")
    assert me["name"] == "ada@example.com"
    assert me["groups"] == ["sre"]
    assert [grant["role"] for grant in me["grants"]] == ["approver", "operator"]
    assert me["vouchedBy"] == "console"
    assert me["account"] == {"issuer": provider.url, "subject": "1", "email": "ada@example.com"}


async def test_the_sign_in_page_offers_the_provider(console: RunningConsole, provider: FakeProvider) -> None:
    async with console.caller(None) as client:
        page = await client.get("/sign-in")

    assert f"Sign in with {provider.url.removeprefix('http://')}" in page.text


#: What is wrong with a token → its false claims, its algorithm, whether another key signed it.
UNPROVED: dict[str, tuple[dict[str, Any], str, bool]] = {
    "nonce": ({"nonce": "another"}, "RS256", False),
    "no nonce": ({"nonce": None}, "RS256", False),
    "issuer": ({"iss": "http://evil.example"}, "RS256", False),
    "no issuer": ({"iss": None}, "RS256", False),
    "audience": ({"aud": "somebody-else"}, "RS256", False),
    "two audiences, no authorized party": ({"aud": [CLIENT, "somebody-else"]}, "RS256", False),
    "authorized party": ({"azp": "somebody-else"}, "RS256", False),
    "expired": ({"exp": 1}, "RS256", False),
    "never expires": ({"exp": None}, "RS256", False),
    "no subject": ({"sub": None}, "RS256", False),
    "forged": ({}, "RS256", True),
    "shared secret": ({}, "HS256", False),
    "the public key as shared secret": ({}, "HS256 with the public key", False),
    "unsigned": ({}, "none", False),
}


async def test_an_unproved_token_signs_nobody_in(console: RunningConsole, provider: FakeProvider) -> None:
    answers = {}
    for flaw, (provider.false_claims, provider.algorithm, provider.is_forged) in UNPROVED.items():
        async with signed_in(console) as (answer, client):
            answers[flaw] = (answer.status_code, (await client.get("/api/v1/me")).status_code)

    assert answers == dict.fromkeys(UNPROVED, (401, 401))


#: Claims → what the user reads.
REFUSED_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"groups": ["others"]}, "none of the groups of ada@example.com has a role here"),
    ({"groups": ["SRE"]}, "none of the groups of ada@example.com has a role here"),
    ({"groups": "sre"}, "none of the groups of ada@example.com has a role here"),
    ({"email_verified": False}, "has not verified your email"),
    ({"email_verified": "true"}, "has not verified your email"),
    ({"email": "monitor"}, "sent no usable claim &#39;email&#39;"),
    ({"email": "Monitor "}, "sent no usable claim &#39;email&#39;"),
    ({"email": "a\r\nb"}, "sent no usable claim &#39;email&#39;"),
    ({"email": "ada\u200b@example.com"}, "sent no usable claim &#39;email&#39;"),
    ({"email": None}, "sent no usable claim &#39;email&#39;"),
    ({"sub": "1" * 256}, "sent no usable claims &#39;sub&#39;"),
]


async def test_a_user_without_a_role_sees_why(console: RunningConsole, provider: FakeProvider) -> None:
    for claims, why in REFUSED_CLAIMS:
        provider.claims = {**ADA, **claims}

        async with signed_in(console) as (answer, client):
            after = await client.get("/api/v1/me")

        assert answer.status_code == 403, claims
        assert why in answer.text
        assert after.status_code == 401


async def test_an_answer_of_another_issuer_signs_nobody_in(console: RunningConsole) -> None:
    async with console.caller(None) as client:
        to_provider = await client.get("/sign-in/elsewhere")
        back = (await client.get(to_provider.headers["location"])).headers["location"]
        mixed_up = await client.get(f"{back}&iss=https://evil.example")
        right = await client.get(back)

    assert (mixed_up.status_code, right.status_code) == (401, 303)


@pytest.mark.parametrize("issuer_end", ["", "/"])
async def test_an_issuer_is_what_the_provider_calls_itself(
    tmp_path: Path, provider: FakeProvider, issuer_end: str
) -> None:
    roles = tmp_path / "roles.yaml"
    roles.write_text(ROLES)
    given = {"oidc_client_id": CLIENT, "oidc_roles": roles, "public_url": "http://127.0.0.1"}
    provider.issuer_end = issuer_end
    other = {"": "/", "/": ""}[issuer_end]
    request = Request({"type": "http", "session": {}, "headers": [], "query_string": b""})

    right = identity_provider(Settings.model_validate({**given, "oidc_issuer": provider.issuer}))
    wrong = identity_provider(Settings.model_validate({**given, "oidc_issuer": provider.url + other}))
    assert right
    assert wrong

    assert (await right.redirect(request)).status_code == 302
    with pytest.raises(HTTPException, match="another issuer than configured"):
        await wrong.redirect(request)


async def test_an_unverified_mail_is_not_part_of_the_account(broker: Broker, tmp_path: Path) -> None:
    async with (
        running_provider() as provider,
        services(broker.url),
        provided_console(broker, tmp_path, provider, oidc_name_claim="preferred_username") as console,
    ):
        provider.claims = {"preferred_username": "ada", "email": "eve@example.com", "groups": ["sre"]}
        async with signed_in(console) as (_, client):
            me = (await client.get("/api/v1/me")).json()

    assert (me["name"], me["account"]["email"]) == ("ada", None)


async def test_who_starts_a_release_with_a_key_cannot_approve_it_when_signed_in(
    broker: Broker, console: RunningConsole
) -> None:
    reviewed = phase("prod-eu", review=True, approvals={"count": 1})
    gate = {"name": "checkout", "isEnabled": True, "rules": [EVERYONE], "releasePipelineID": "prod-release"}
    async with driving(broker.url) as driver:
        await driver.accepted(SavePipeline, pipeline=pipeline(reviewed))
        key = await create_api_key(driver, Role.EDITOR, Role.OPERATOR, owner="Ada@Example.com")
    await console.backend.catalogue.catch_up()
    async with console.caller(key) as caller:
        (await caller.post("/console/v1/gates", json=gate)).raise_for_status()

    async with signed_in(console) as (page, client):
        refused = await client.put(
            "/console/v1/release_pipeline_triggers/gate.checkout.1/approve",
            json={"phaseID": "prod-eu"},
            headers={"x-csrf-token": csrf_of(page), "accept": "application/json"},
        )

    assert refused.status_code == 403, refused.text
    assert "ada@example.com started gate.checkout.1 and cannot approve" in refused.json()["message"]


async def test_a_code_or_a_state_is_good_once_and_for_its_browser(console: RunningConsole) -> None:
    client = http_client(base_url=console.url, headers={"accept": "text/html"}, timeout=15)
    async with client, console.caller(None) as thief:
        to_provider = await client.get("/sign-in/elsewhere")
        back = await client.get(to_provider.headers["location"])
        stolen = await thief.get(back.headers["location"])
        first = await client.get(back.headers["location"])
        second = await client.get(back.headers["location"])

    assert (stolen.status_code, first.status_code, second.status_code) == (401, 303, 401)


async def test_an_answer_of_the_provider_is_good_once_whatever_is_copied(
    console: RunningConsole, provider: FakeProvider
) -> None:
    provider.reuses_codes = True
    async with console.caller(None) as client, console.caller(None) as copy:
        to_provider = await client.get("/sign-in/elsewhere")
        back = (await client.get(to_provider.headers["location"])).headers["location"]
        copy.cookies.update(client.cookies)
        first = await client.get(back)
        second = await copy.get(back)

    assert (first.status_code, second.status_code) == (303, 401)


async def test_sign_ins_of_one_account_are_bounded(console: RunningConsole) -> None:
    statuses = []
    for _ in range(SIGN_INS_MAX + 1):
        async with signed_in(console) as (answer, _):
            statuses.append(answer.status_code)

    assert statuses == [200] * SIGN_INS_MAX + [429]


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
