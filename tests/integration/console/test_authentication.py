"""Who is let in, with which credentials, and for how long."""

import stat
from pathlib import Path

from sluiceway.clock import now_ms
from sluiceway.contracts.commands import RevokeKey
from sluiceway.contracts.identity import Role
from tests.support.brokers import Broker
from tests.support.consoles import create_api_key, running_console

from .conftest import Served


async def test_the_first_start_creates_one_admin_key(served: Served) -> None:
    answer = await served.console.admin.get("/api/v1/me")

    assert answer.json()["name"] == "admin"
    assert answer.json()["grants"] == [{"role": "admin", "environments": None, "pipelines": None}]


async def test_a_later_start_creates_none(served: Served, broker: Broker, tmp_path: Path) -> None:
    file = tmp_path / "console.key"
    first = file.read_text()

    async with running_console(broker.url, tmp_path):
        assert file.read_text() == first

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_request_without_a_key_is_refused(served: Served) -> None:
    async with served.console.caller(None) as nobody:
        answer = await nobody.get("/api/v1/me")

    assert answer.status_code == 401
    assert answer.json()["status"] == 401
    assert "sluiceway key create" in answer.json()["message"]


async def test_a_wrong_secret_is_refused(served: Served) -> None:
    wrong = served.console.key[:-1] + ("0" if served.console.key[-1] != "0" else "1")

    async with served.console.caller(wrong) as caller:
        assert (await caller.get("/api/v1/me")).status_code == 401


async def test_a_revoked_key_is_refused_immediately(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    async with served.console.caller(key) as caller:
        assert (await caller.get("/api/v1/me")).status_code == 200

        await served.driver.accepted(RevokeKey, key_id=key.split("-")[1])
        await served.console.backend.catalogue.catch_up()

        assert (await caller.get("/api/v1/me")).status_code == 401


async def test_an_expired_key_is_refused(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER, expires_ms=now_ms() - 1)

    async with served.console.caller(key) as caller:
        assert (await caller.get("/api/v1/me")).status_code == 401


async def test_what_a_role_does_not_allow_is_refused_with_what_it_would_need(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER, owner="vera")

    async with served.console.caller(key) as viewer:
        answer = await viewer.post("/console/v1/environments", json={"name": "qa"})

    assert answer.status_code == 403
    assert answer.json()["code"] == "not_allowed"
    assert "vera may not save environment here: this needs the role admin" in answer.json()["message"]


async def test_a_response_names_who_acted(served: Served) -> None:
    answer = await served.console.admin.post("/console/v1/environments", json={"name": "qa"})

    names = [environment["name"] for environment in answer.json()["data"]["environments"]]
    assert names == ["development", "production", "qa", "staging"]


async def test_too_large_a_body_is_refused(served: Served) -> None:
    answer = await served.console.admin.post("/console/v1/environments", content=b" " * 300_000)

    assert answer.status_code == 413


async def test_guessed_keys_do_not_use_up_the_limit_of_others(
    served: Served, broker: Broker, tmp_path: Path
) -> None:
    async with running_console(broker.url, tmp_path, requests_per_second=0.5) as console:
        await console.admin.get("/api/v1/me")
        async with console.caller(f"{console.key}x") as guesser:
            guesses = [(await guesser.get("/api/v1/me")).status_code for _ in range(6)]
        after = await console.admin.get("/api/v1/me")

    assert 429 in guesses
    assert after.status_code == 200
