"""OpenFeature's remote protocol: requests by hand, the official provider, and invalid requests."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from sluiceway.contracts.commands import SaveFeature
from tests.integration.edge.conftest import Served
from tests.support.edges import RunningEdge
from tests.support.system import EVERYONE, Driver
from tests.support.waiting import eventually

FLAGS = "/ofrep/v1/evaluate/flags"
PRO = {
    "name": "pro",
    "conditions": [{"type": "custom_field", "field": "plan", "operator": "any", "targetValue": ["pro"]}],
}
HALF = {"name": "half", "passPercentage": 50, "conditions": [{"type": "public"}]}


async def save_features(driver: Driver) -> None:
    await driver.save_gate("everyone", EVERYONE)
    await driver.save_gate("pro", PRO)
    await driver.save_gate("half", HALF)
    await driver.save_gate("off", EVERYONE, isEnabled=False)
    limits = {"kind": "DynamicConfig", "name": "limits", "defaultValue": {"max": 1.0, "names": ["a"]}}
    await driver.accepted(SaveFeature, feature=limits)


async def serving(edge: RunningEdge) -> None:
    async def look() -> bool:
        return "value" in await edge.flag("limits", targetingKey="u")

    await eventually(look, "the edge serves the newest feature")


NESTED = b'{"context": {"targetingKey": "u", "plan": ' + b"[" * 900 + b"]" * 900 + b"}}"


async def test_each_answer_says_why_and_each_failure_names_its_code(dev: Served) -> None:
    driver, edge, _ = dev
    await save_features(driver)
    await serving(edge)

    everyone = await edge.flag("everyone", targetingKey="u")
    reasons = {
        "pro": (await edge.flag("pro", targetingKey="u", plan="pro"))["reason"],
        "not pro": (await edge.flag("pro", targetingKey="u", plan="free"))["reason"],
        "half": (await edge.flag("half", targetingKey="u"))["reason"],
        "off": (await edge.flag("off", targetingKey="u"))["reason"],
        "limits": (await edge.flag("limits"))["reason"],
    }
    bad = {
        "unknown": await edge.http.post(f"{FLAGS}/nothing", json={"context": {}}),
        "no key": await edge.http.post(f"{FLAGS}/half", json={"context": {}}),
        "no json": await edge.http.post(f"{FLAGS}/half", content=b"{"),
        "no context": await edge.http.post(f"{FLAGS}/half", json=[]),
        "deep": await edge.http.post(f"{FLAGS}/half", content=b"[" * 60_000),
        "rather deep": await edge.http.post(f"{FLAGS}/half", content=NESTED),
        "large": await edge.http.post(f"{FLAGS}/half", content=b"x" * 1_000_000),
        "key": await edge.http.post(f"{FLAGS}/half", json={"context": {"targetingKey": 5}}),
    }

    assert everyone["value"] is True
    assert (everyone["variant"], everyone["reason"]) == ("everyone", "TARGETING_MATCH")
    assert everyone["metadata"]["region"] == "dev"
    assert reasons == {
        "pro": "TARGETING_MATCH",
        "not pro": "DEFAULT",
        "half": "SPLIT",
        "off": "DISABLED",
        "limits": "STATIC",
    }
    assert {name: (a.status_code, a.json()["errorCode"]) for name, a in bad.items()} == {
        "unknown": (404, "FLAG_NOT_FOUND"),
        "no key": (400, "TARGETING_KEY_MISSING"),
        "no json": (400, "PARSE_ERROR"),
        "no context": (400, "INVALID_CONTEXT"),
        "deep": (400, "PARSE_ERROR"),
        "rather deep": (400, "PARSE_ERROR"),
        "large": (400, "INVALID_CONTEXT"),
        "key": (400, "INVALID_CONTEXT"),
    }
    assert all(a.json()["key"] and a.json()["errorDetails"] for a in bad.values())
    assert (await edge.http.get(f"{FLAGS}/half")).status_code == 405
    assert (await edge.http.post(f"{FLAGS}/%2f", json={"context": {}})).status_code == 404
    assert (await edge.http.post(f"{edge.url}/{FLAGS}/everyone", json={"context": {}})).status_code == 200


async def test_all_flags_carry_a_tag_that_covers_context_and_rules(dev: Served) -> None:
    driver, edge, _ = dev
    await save_features(driver)
    await serving(edge)
    body = {"context": {"targetingKey": "u"}}

    first = await edge.http.post(FLAGS, json=body)
    tag = {"if-none-match": first.headers["etag"]}
    same = await edge.http.post(FLAGS, json=body, headers=tag)
    other = await edge.http.post(FLAGS, json={"context": {"targetingKey": "v"}}, headers=tag)
    await driver.save_gate("everyone")

    async def changed() -> bool:
        return (await edge.http.post(FLAGS, json=body, headers=tag)).status_code == 200

    await eventually(changed, "the tag is another one")

    assert [flag["key"] for flag in first.json()["flags"]] == [
        "everyone", "half", "limits", "off", "pro",
    ]  # fmt: skip
    assert (same.status_code, same.content) == (304, b"")
    assert other.status_code == 200


@pytest.mark.parametrize(
    "write",
    [
        lambda tag: tag,
        lambda tag: f"W/{tag}",
        lambda tag: f'"other", W/{tag} ,"last"',
        lambda tag: "*",
    ],
    ids=["as sent", "weak", "a list", "any"],
)
async def test_a_client_that_has_the_flags_is_told_so_however_it_writes_the_tag(
    dev: Served, write: Callable[[str], str]
) -> None:
    _, edge, _ = dev
    body = {"context": {"targetingKey": "u"}}
    tag = (await edge.http.post(FLAGS, json=body)).headers["etag"]

    answer = await edge.http.post(FLAGS, json=body, headers={"if-none-match": write(tag)})

    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize("header", ['"other"', 'W/"other"', "", "no quotes", '"open', ","])
async def test_another_tag_and_one_that_cannot_be_read_get_the_flags(dev: Served, header: str) -> None:
    _, edge, _ = dev
    body = {"context": {"targetingKey": "u"}}

    answer = await edge.http.post(FLAGS, json=body, headers={"if-none-match": header})

    assert (answer.status_code, answer.json()["flags"]) == (200, [])


async def test_the_official_openfeature_provider_gets_the_same_answers(dev: Served) -> None:
    driver, edge, key = dev
    await save_features(driver)
    await serving(edge)

    found = await asyncio.to_thread(_ask_by_openfeature, edge.url, key)

    assert found["everyone"].value is True
    assert found["pro"].value is True
    assert found["limits"].value == {"max": 1.0, "names": ["a"]}
    assert isinstance(found["limits"].value["max"], float)
    assert found["limits"].flag_metadata["ruleID"] == "default"
    assert found["nothing"].error_code is ErrorCode.FLAG_NOT_FOUND
    assert found["mismatch"].error_code is ErrorCode.TYPE_MISMATCH
    assert found["no key"].error_code is ErrorCode.TARGETING_KEY_MISSING
    assert found["stranger"].error_code is ErrorCode.GENERAL


def _ask_by_openfeature(url: str, key: str) -> dict[str, Any]:
    right = OFREPProvider(url, headers_factory=lambda: {"Authorization": f"Bearer {key}"})
    api.set_provider_and_wait(right, "right")
    api.set_provider_and_wait(OFREPProvider(url), "stranger")
    client, stranger = api.get_client("right"), api.get_client("stranger")
    user = EvaluationContext("u", {"plan": "pro"})
    try:
        return {
            "everyone": client.get_boolean_details("everyone", False, user),
            "pro": client.get_boolean_details("pro", False, user),
            "limits": client.get_object_details("limits", {}, user),
            "nothing": client.get_boolean_details("nothing", False, user),
            "mismatch": client.get_string_details("everyone", "x", user),
            "no key": client.get_boolean_details("half", False, EvaluationContext()),
            "stranger": stranger.get_boolean_details("everyone", False, user),
        }
    finally:
        api.shutdown()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
PATHS = st.text(min_size=1, max_size=20) | st.sampled_from(["everyone", "half", "pro", "limits"])
BODIES = st.binary(max_size=200) | JSON.map(lambda value: json.dumps({"context": value}).encode())


async def test_any_request_gets_one_answer_and_the_next_is_served(dev: Served) -> None:
    driver, edge, _ = dev
    await save_features(driver)
    await serving(edge)
    loop = asyncio.get_running_loop()

    @given(path=PATHS, body=BODIES)
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def fuzz(path: str, body: bytes) -> None:
        asyncio.run_coroutine_threadsafe(_answers(edge, path, body), loop).result(30)

    await asyncio.to_thread(fuzz)


async def _answers(edge: RunningEdge, path: str, body: bytes) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in path.encode("utf-8", "surrogatepass"))
    sent = await edge.http.post(f"{FLAGS}/{quoted}", content=body)
    served = await edge.flag("everyone", targetingKey="u")

    assert sent.status_code in (200, 400, 404, 405), sent.text
    assert served["value"] is True
