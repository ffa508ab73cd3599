"""What AUDIT says of sign-ins, keys and refusals; it never has a secret in it."""

import json
from pathlib import Path
from typing import Any

from sluiceway import console_keys
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import RevokeKey
from sluiceway.contracts.identity import Role
from sluiceway.messaging.history import read_history
from tests.support.brokers import Broker
from tests.support.consoles import RunningConsole, create_api_key
from tests.support.oidc import FakeProvider, running_provider
from tests.support.system import driving, services
from tests.support.waiting import eventually

from .conftest import Served
from .test_ended_sessions import browser, sign_out
from .test_oidc import ADA, provided_console, signed_in
from .test_sign_in import sign_in

Records = list[dict[str, Any]]


async def recorded(served: Served, count: int, service: str = "console") -> Records:
    """Wait until a service has recorded so much, apart from the use of the admin's key."""

    async def look() -> Records | None:
        history = await read_history(
            served.driver.connection.js, subjects.AUDIT_STREAM, subjects.audit(service)
        )
        records = [json.loads(data) for _, data in history]
        found = [record for record in records if record.get("vouchedBy") != "bootstrap"]
        return found if len(found) >= count else None

    return await eventually(look, f"{service} has recorded {count} events")


async def test_sign_ins_and_sign_outs_with_a_key_are_recorded(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER, owner="ada")
    async with browser(served.console) as client:
        await sign_in(client, f"{key[:-4]}0000")
        await sign_in(client, key)
        await sign_out(client)
        await sign_in(client, key)
        await sign_out(client, "/sign-out/everywhere")

    found = await recorded(served, 5)
    id_ = console_keys.key_id(key)
    assert [(record["type"], record.get("actor"), record.get("vouchedBy")) for record in found] == [
        ("sign_in_failed", None, None),
        ("signed_in", "ada", id_),
        ("signed_out", "ada", id_),
        ("signed_in", "ada", id_),
        ("signed_out_everywhere", "ada", id_),
    ]
    assert {record["address"] for record in found} == {"127.0.0.1"}
    assert key.split("-")[2][:20] not in json.dumps(found)


async def test_the_use_of_a_key_is_recorded_once_and_its_refusal_each_time(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER, owner="ada")
    id_ = console_keys.key_id(key)
    async with served.console.caller(key) as caller:
        for _ in range(10):
            assert (await caller.get("/api/v1/me")).status_code == 200
        await served.driver.accepted(RevokeKey, key_id=id_, reason="leaked")
        await served.console.backend.catalogue.catch_up()
        for _ in range(2):
            assert (await caller.get("/api/v1/me")).status_code == 401

    found = await recorded(served, 3)
    of_scheduler = await recorded(served, 2, "scheduler")
    assert [(record["type"], record["about"]) for record in found] == [
        ("key_used", ""),
        ("key_refused", f"key {id_}"),
        ("key_refused", f"key {id_}"),
    ]
    assert [(record["type"], record["about"]) for record in of_scheduler[-2:]] == [
        ("key_created", f"create_key {id_} of ada"),
        ("key_revoked", f"revoke_key {id_}"),
    ]
    everything = json.dumps([*found, *of_scheduler])
    assert key.split("-")[2] not in everything
    assert "argon2" not in everything


async def test_what_the_console_and_the_scheduler_deny_is_recorded_with_who_asked(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER, owner="ada")
    async with served.console.caller(key) as caller:
        listed = await caller.get("/api/v1/keys")
        saved = await caller.post("/console/v1/gates", json={"name": "mine"})
        missing = await caller.get("/console/v1/gates/nothing")

    assert (listed.status_code, saved.status_code, missing.status_code) == (403, 403, 404)
    of_console = await recorded(served, 2)
    of_scheduler = [
        record for record in await recorded(served, 2, "scheduler") if record["type"] != "key_created"
    ]
    assert [(record["type"], record["actor"], record["about"]) for record in of_console] == [
        ("key_used", "ada", ""),
        ("denied", "ada", "GET /api/v1/keys"),
    ]
    assert [
        (record["type"], record["actor"], record["about"], record["code"]) for record in of_scheduler
    ] == [("denied", "ada", "save_feature gate.mine", "not_allowed")]
    assert "needs the role editor" in of_scheduler[0]["reason"]


async def test_an_admin_sees_who_signed_in_and_others_do_not(served: Served) -> None:
    key = await create_api_key(served.driver, Role.EDITOR, owner="ada")
    async with browser(served.console) as client, served.console.caller(key) as ada:
        await sign_in(client, key)
        await recorded(served, 1)

        page = await served.console.admin.get("/api/v1/audit?log=access&type=signed_in&actor=ada")
        exported = await served.console.admin.get("/api/v1/audit/export?log=access")
        refused = [
            (await caller.get(path)).status_code
            for caller, path in (
                (ada, "/api/v1/audit?log=access"),
                (ada, "/api/v1/audit/export?log=access"),
                (client, "/audit?log=access"),
            )
        ]
        async with browser(served.console) as admin:
            await sign_in(admin, served.console.key)
            shown = await admin.get("/audit?log=access")

    [entry] = page.json()["data"]
    assert (entry["type"], entry["actorID"], entry["address"]) == ("signed_in", "ada", "127.0.0.1")
    assert '"signed_in"' in exported.text
    assert refused == [403, 403, 403]
    assert "signed in" in shown.text
    assert "127.0.0.1" in shown.text


async def test_a_form_without_the_token_of_its_session_is_recorded(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER, owner="ada")
    async with browser(served.console) as client:
        await sign_in(client, key)
        forged = await client.post("/sign-out", data={"csrf": "guessed"})

    assert forged.status_code == 403
    found = await recorded(served, 2)
    assert [(record["type"], record["about"]) for record in found] == [
        ("signed_in", ""),
        ("denied", "POST /sign-out"),
    ]


async def test_sign_ins_through_a_provider_are_recorded_with_their_account(
    broker: Broker, tmp_path: Path
) -> None:
    async with (
        running_provider() as provider,
        services(broker.url),
        driving(broker.url) as driver,
        provided_console(broker, tmp_path, provider) as console,
    ):
        await _sign_in_twice(console, provider)
        found = await recorded(Served(driver, console), 2)

    assert [record["type"] for record in found] == ["sign_in_failed", "signed_in"]
    assert "has a role here" in found[0]["reason"]
    assert found[1]["account"] == {"issuer": provider.url, "subject": "1", "email": "ada@example.com"}


async def _sign_in_twice(console: RunningConsole, provider: FakeProvider) -> None:
    for groups in (["nobody"], ["sre"]):
        provider.claims = {**ADA, "groups": groups}
        async with signed_in(console) as (_, client):
            await client.get("/")


async def test_many_refusals_of_one_leave_room_for_others(served: Served) -> None:
    key, other = [await create_api_key(served.driver, Role.VIEWER, owner=owner) for owner in ("eve", "ada")]
    async with served.console.caller(key) as eve, served.console.caller(other) as ada:
        for _ in range(200):
            await eve.get("/api/v1/keys")
        await ada.get("/api/v1/keys")

        async def look() -> bool:
            return any(record.get("actor") == "ada" for record in await recorded(served, 1))

        await eventually(look, "the refusal of the other one is recorded")

    of_eve = [record for record in await recorded(served, 1) if record.get("actor") == "eve"]
    assert len(of_eve) <= 21
