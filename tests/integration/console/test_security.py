"""Every route with every role, and common attacks. A route without a row here fails a test."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import BaseRoute, Mount

from sluiceway import console_keys
from sluiceway.contracts.commands import PauseTrigger, SavePipeline
from sluiceway.contracts.identity import Role
from tests.support.browsers import browsing
from tests.support.catalogues import phase, pipeline
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE

from .conftest import Served

HOUR = 3_600_000
TRIGGER = "gate.new_checkout.1"
GATE = "kind: FeatureGate\nname: written\n"
PIPELINE = "kind: ReleasePipeline\nname: written\nphases: [{name: a, rules: [{name: all}]}]\n"
#: Anybody with a role may.
ANY = frozenset(Role)
EDIT, APPROVE = frozenset({Role.EDITOR, Role.ADMIN}), frozenset({Role.APPROVER, Role.ADMIN})
OPERATE, ADMINISTER = frozenset({Role.OPERATOR, Role.ADMIN}), frozenset({Role.ADMIN})
PHASES: dict[str, Any] = {"phases": [{"name": "a", "rules": [{"name": "all"}]}]}
RULE = {"name": "r", "conditions": [{"type": "public"}]}
TRIGGERS = "/console/v1/release_pipeline_triggers/{id}"
#: Method and path → who may, and a body that is valid for who may.
CHANGING: dict[tuple[str, str], tuple[frozenset[Role], Any]] = {
    ("POST", "/console/v1/environments"): (ADMINISTER, {"name": "qa"}),
    ("POST", "/console/v1/release_pipelines"): (ADMINISTER, {"name": "p", **PHASES}),
    ("POST", "/console/v1/release_pipelines/{id}"): (ADMINISTER, {"name": "p"}),
    ("DELETE", "/console/v1/release_pipelines/{id}"): (ADMINISTER, None),
    ("PUT", f"{TRIGGERS}/approve"): (APPROVE, {"phaseID": "dev"}),
    ("PUT", f"{TRIGGERS}/pause"): (OPERATE, {"phaseID": "dev"}),
    ("PUT", f"{TRIGGERS}/unpause"): (OPERATE, {"phaseID": "dev"}),
    ("PUT", f"{TRIGGERS}/skip"): (OPERATE, {"phaseID": "dev"}),
    ("PUT", f"{TRIGGERS}/extend"): (OPERATE, {"phaseID": "dev", "by": "30m"}),
    ("PUT", f"{TRIGGERS}/abort"): (OPERATE, None),
    ("PUT", f"{TRIGGERS}/rollout"): (OPERATE, None),
    ("POST", "/console/v1/gates"): (EDIT, {"name": "new"}),
    ("POST", "/console/v1/gates/{id}"): (EDIT, {"isEnabled": True, "description": "", "rules": []}),
    ("PATCH", "/console/v1/gates/{id}"): (EDIT, {"description": "x"}),
    ("POST", "/console/v1/gates/{id}/rule"): (EDIT, RULE),
    ("POST", "/console/v1/gates/{id}/rules"): (EDIT, {"rules": [RULE]}),
    ("PATCH", "/console/v1/gates/{id}/rules"): (EDIT, {"rules": []}),
    ("PATCH", "/console/v1/gates/{id}/rules/{ruleID}"): (EDIT, RULE),
    ("DELETE", "/console/v1/gates/{id}/rules/{ruleID}"): (EDIT, None),
    ("PUT", "/console/v1/gates/{id}/enable"): (EDIT, None),
    ("PUT", "/console/v1/gates/{id}/disable"): (EDIT, None),
    ("PUT", "/console/v1/gates/{id}/launch"): (EDIT, None),
    ("PUT", "/console/v1/gates/{id}/archive"): (EDIT, None),
    ("PUT", "/console/v1/gates/{id}/unarchive"): (EDIT, None),
    ("POST", "/console/v1/dynamic_configs"): (EDIT, {"name": "new"}),
    ("POST", "/console/v1/dynamic_configs/{id}"): (EDIT, {"isEnabled": True, "description": "", "rules": []}),
    ("PATCH", "/console/v1/dynamic_configs/{id}"): (EDIT, {"description": "x"}),
    ("PATCH", "/console/v1/dynamic_configs/{id}/rule/{ruleId}"): (EDIT, {**RULE, "returnValue": {}}),
    ("DELETE", "/console/v1/dynamic_configs/{id}/rule/{ruleId}"): (EDIT, None),
    ("PUT", "/console/v1/dynamic_configs/{id}/enable"): (EDIT, None),
    ("PUT", "/console/v1/dynamic_configs/{id}/disable"): (EDIT, None),
    ("PUT", "/console/v1/dynamic_configs/{id}/archive"): (EDIT, None),
    ("PUT", "/console/v1/dynamic_configs/{id}/unarchive"): (EDIT, None),
    ("PUT", "/api/v1/regions/{name}"): (ADMINISTER, {"environment": "production"}),
    ("DELETE", "/api/v1/regions/{name}"): (ADMINISTER, None),
    ("PUT", "/api/v1/freezes/{name}"): (
        ADMINISTER,
        {"name": "one", "weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}]},
    ),
    ("DELETE", "/api/v1/freezes/{name}"): (ADMINISTER, None),
    ("PUT", "/api/v1/alert-sources/{name}"): (ADMINISTER, {"name": "one"}),
    ("DELETE", "/api/v1/alert-sources/{name}"): (ADMINISTER, None),
    ("POST", "/api/v1/simulate"): (ANY, {"feature": {"kind": "FeatureGate", "name": "x"}}),
    ("POST", "/api/v1/keys"): (ADMINISTER, {"owner": "eve", "grants": [{"role": "viewer"}]}),
    ("DELETE", "/api/v1/keys/{id}"): (ADMINISTER, None),
}
#: Pages that change something, with the fields of their form.
FORMS: dict[str, tuple[frozenset[Role], dict[str, str]]] = {
    "/triggers/{id_}/{name}": (OPERATE, {}),
    "/drafts/check": (ANY, {"text": GATE}),
    "/drafts/preview": (ANY, {"text": GATE, "revision": "0"}),
    "/drafts/edit": (ANY, {"text": GATE}),
    "/drafts/save": (EDIT, {"text": GATE, "revision": "0"}),
    "/features/{kind}/{name}/archive": (EDIT, {}),
    "/pipelines/{id_}/delete": (ADMINISTER, {}),
    "/pipelines/{id_}/form": (ANY, {"do": "add", "name": "x", "phase-0-name": "a"}),
    "/sign-in": (ANY, {"key": "console-x-y"}),
    "/sign-out": (ANY, {}),
    "/sign-out/everywhere": (ANY, {}),
}
READING_ADMIN = {"/api/v1/keys"}
PUBLIC = {"/sign-in", "/sign-in/elsewhere", "/sign-in/callback", "/openapi.json", "/static"}
WHERE = {"id": "one", "ruleID": "everyone", "ruleId": "everyone", "name": "one", "id_": "one", "kind": "gate"}


def routes(these: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Give method and path of every route; a router's own routes know its prefix, those in it do not."""
    for route in these:
        inner = getattr(route, "original_router", None)
        if inner is None:
            if not isinstance(route, Mount):
                for method in sorted(set(getattr(route, "methods", None) or ()) - {"HEAD", "OPTIONS"}):
                    yield method, prefix + _path(route)
            continue
        own = [one for one in inner.routes if not hasattr(one, "original_router")]
        yield from routes(own, prefix)
        yield from routes([one for one in inner.routes if one not in own], prefix + inner.prefix)


def _path(route: BaseRoute) -> str:
    return str(getattr(route, "path", ""))


def filled(path: str) -> str:
    if "triggers/{id" in path:
        path = path.replace("{id_}", TRIGGER).replace("{id}", TRIGGER).replace("{name}", "abort")
    for name, value in WHERE.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def all_routes(served: Served) -> list[tuple[str, str]]:
    pages: Any = served.console.console.pages
    return [(method, path) for method, path in routes(pages.app.routes) if path]


async def release(served: Served) -> None:
    await served.driver.accepted(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=HOUR)))
    await served.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await served.driver.save_gate("one", EVERYONE)
    await served.console.backend.features.catch_up()


async def key_of(served: Served, role: Role) -> str:
    key = await create_api_key(served.driver, role)
    await served.console.backend.catalogue.catch_up()
    return key


async def test_every_changing_route_is_in_the_table(served: Served) -> None:
    changing = {(m, p) for m, p in all_routes(served) if m != "GET"}

    known = {*CHANGING, *(("POST", path) for path in FORMS)}
    assert changing == known


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.APPROVER, Role.OPERATOR])
async def test_every_route_lets_in_its_roles_alone(served: Served, role: Role) -> None:
    await release(served)
    async with served.console.caller(await key_of(served, role)) as caller:
        for (method, path), (allowed, body) in CHANGING.items():
            answer = await caller.request(method, filled(path), json=body)

            assert answer.status_code != 500, (method, path)
            if role not in allowed:
                # A 404 may come first; nothing is ever changed.
                assert answer.status_code in (403, 404, 409), (method, path, answer.text)
            else:
                assert answer.status_code != 403 or "operator" in answer.text, (method, path, answer.text)
        for path in READING_ADMIN:
            assert (await caller.get(path)).status_code == 403


async def test_a_viewer_changes_nothing_at_all(served: Served) -> None:
    await release(served)
    before = await positions(served)
    key = await key_of(served, Role.VIEWER)
    before = await positions(served)

    async with served.console.caller(key) as viewer:
        for (method, path), (_, body) in CHANGING.items():
            await viewer.request(method, filled(path), json=body)
    async with browsing(served.console.url, key) as browser:
        for path, (_, fields) in FORMS.items():
            if not path.startswith(("/sign-in", "/sign-out")):
                await browser.get("/")
                await browser.post(filled(path), **fields)

    assert await positions(served) == before


async def test_without_a_valid_key_every_route_is_refused(served: Served) -> None:
    await release(served)
    before = await positions(served)
    for key in (None, "console-bootstrap-wrong", "x", "console-" + "a" * 500):
        async with served.console.caller(key) as caller:
            for method, path in all_routes(served):
                if path in PUBLIC or path in FORMS:
                    continue
                answer = await caller.request(method, filled(path))
                is_page = not path.startswith(("/api/", "/console/"))
                # 429: somebody who goes on with wrong keys is refused before they are compared.
                expected = (303,) if is_page else (401, 429)
                assert answer.status_code in expected, (method, path, answer.text)
    assert await positions(served) == before


async def test_get_requests_never_change_anything(served: Served) -> None:
    await release(served)
    before = await positions(served)

    async with browsing(served.console.url, served.console.key) as browser:
        for method, path in all_routes(served):
            if method == "GET" and path != "/api/v1/events":
                answer = await browser.http.get(filled(path))
                assert answer.status_code < 500, (path, answer.text)

    assert await positions(served) == before


async def test_a_cookie_without_its_token_changes_nothing(served: Served) -> None:
    await release(served)
    async with (
        browsing(served.console.url, served.console.key) as browser,
        browsing(served.console.url, served.console.key) as other,
    ):
        before = await positions(served)
        await browser.get("/")
        await other.get("/")
        for shown in ({}, {"X-CSRF-Token": "guess"}, {"X-CSRF-Token": other.csrf}):
            for (method, path), (_, body) in CHANGING.items():
                answer = await browser.http.request(method, filled(path), json=body, headers=shown)
                assert answer.status_code == 403, (method, path, answer.text)
        for path, (_, fields) in FORMS.items():
            for token in ("", "guess", other.csrf):
                answer = await browser.http.post(filled(path), data={"csrf": token, **fields})
                assert answer.status_code == 403, (path, answer.text)
        right = await browser.http.put(
            f"/console/v1/release_pipeline_triggers/{TRIGGER}/abort", headers={"X-CSRF-Token": browser.csrf}
        )

        assert right.status_code == 200
    assert (await positions(served))[1:] == before[1:]


async def positions(served: Served) -> tuple[int, int]:
    """Return how far both logs go."""
    await served.console.backend.features.catch_up()
    await served.console.backend.catalogue.catch_up()
    backend = served.console.backend
    return backend.features.position.sequence, backend.catalogue.follower.position.sequence


EVIL = [
    "*",
    ">",
    "a.b",
    "..%2f..%2fetc",
    "%00",
    "a%0d%0aSet-Cookie:x=1",
    "<script>",
    "a" * 5_000,
    "%F0%9F%92%A9",
]


@pytest.mark.parametrize("evil", EVIL, ids=lambda evil: evil[:12])
async def test_an_invalid_name_never_becomes_a_subject(served: Served, evil: str) -> None:
    await release(served)
    before = await positions(served)
    for method, path in all_routes(served):
        if "{" not in path or path in ("/api/v1/events",):
            continue
        address = path.replace("{kind}", "gate")
        for name in ("id", "ruleID", "ruleId", "name", "id_"):
            address = address.replace(f"{{{name}}}", evil)
        expected = CHANGING.get((method, path))
        answer = await served.console.admin.request(method, address, json=expected[1] if expected else None)
        assert 300 <= answer.status_code < 500, (method, path, answer.text)
        assert "set-cookie" not in answer.headers or "x=1" not in answer.headers["set-cookie"]
    assert await positions(served) == before


HOSTILE = {
    "a number that is none": b'{"name": "a", "rules": [{"name": "r", "passPercentage": NaN}]}',
    "a huge number": b'{"name": "a", "rules": [{"name": "r", "passPercentage": 1e999}]}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "very deep": b'{"name": "a", "rules": ' + b"[" * 100_000,
    "deep": b'{"name": "a", "targetApps": ' + b"[" * 900 + b"]" * 901,
    "deeper than Python": b'{"name": "a", "targetApps": ' + b"[" * 1_500 + b"]" * 1_500 + b"}",
    "125,000 errors": b'{"name": "a", "rules": [' + b"1," * 125_000 + b"1]}",
    "80,000 errors": b'{"name": "a", "rules": [{"name": "r", "conditions": [' + b"{}," * 80_000 + b"{}]}]}",
    "no object": b"[]",
    "nothing": b"",
    "not JSON": b"<xml/>",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_body_is_a_bad_request(served: Served, body: bytes) -> None:
    headers = {"content-type": "application/json"}

    answer = await served.console.admin.post("/console/v1/gates", content=body, headers=headers)

    assert answer.status_code == 400, answer.text
    assert answer.json()["status"] == 400


@pytest.mark.parametrize("cookie", ["x", "eyJrZXkiOiAiYm9vdHN0cmFwIn0=.x.y", "a" * 4_000])
async def test_a_forged_cookie_is_nobody(served: Served, cookie: str) -> None:
    async with served.console.caller(None) as client:
        answer = await client.get("/api/v1/me", headers={"cookie": f"sluiceway={cookie}"})

    assert answer.status_code == 401


async def test_every_response_has_the_security_headers(served: Served) -> None:
    async with served.console.caller(None) as client:
        for path in ("/sign-in", "/nothing", "/api/v1/me", "/static/style.css", "/openapi.json"):
            headers = (await client.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"].startswith("private")
            assert headers["x-frame-options"] == "DENY"


async def test_an_unknown_key_costs_as_much_as_a_wrong_one(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved: list[str | None] = []
    matches = console_keys.matches

    def counted(key: str, hash_: str | None) -> bool:
        proved.append(hash_)
        return matches(key, hash_)

    monkeypatch.setattr(console_keys, "matches", counted)

    for key in ("console-unknown-x", f"{served.console.key}x"):
        async with served.console.caller(key) as caller:
            assert (await caller.get("/api/v1/me")).status_code == 401

    assert len(proved) == 2


async def test_no_log_holds_a_secret(
    served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "console-bootstrap-" + "5ecre7" * 8
    async with browsing(served.console.url, served.console.key) as browser:
        cookie = browser.http.cookies["sluiceway"]
        token = browser.csrf
        await browser.get("/")
        await browser.post("/sign-in", key=wrong)
    async with served.console.caller(wrong) as caller:
        await caller.get("/api/v1/me")
    eve = {"owner": "eve", "grants": [{"role": "viewer"}]}
    created = await served.console.admin.post("/api/v1/keys", json=eve)
    await served.driver.save_gate("one")
    await served.driver.answered(PauseTrigger, trigger=TRIGGER, phaseID="dev")

    # The client that asks here stands in the same process; what it says of itself is not the console's.
    ours = [record for record in caplog.records if not record.name.startswith(("httpcore", "httpx"))]
    logged = "\n".join(map(str, [*(vars(record) for record in ours), *capfd.readouterr()]))
    for secret in (served.console.key, wrong, created.json()["key"], cookie, token, "$argon2"):
        assert secret not in logged, secret[:20]
