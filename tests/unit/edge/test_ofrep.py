"""All flags of one SDK key: others are answered in between."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from services.edge import ofrep
from services.edge.key_store import KeyStore
from services.edge.limits import waiting_limit
from services.edge.ofrep import SLICE_SECONDS, OfrepRoutes
from services.edge.ofrep_events import OfrepEvents
from services.edge.public_address import PublicAddress
from services.edge.specs import SpecFeed
from sluiceway import sdk_keys, turns
from sluiceway.client.flags import evaluate_flag
from sluiceway.client.region_rules import RegionRules
from sluiceway.client.rule_cache import RuleCache
from sluiceway.contracts.catalogue import SdkKey
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.messaging.stream_records import Position

FLAGS_PATH = "/ofrep/v1/evaluate/flags"
FLAGS = [f"flag-{n:02}" for n in range(20)]


def document(name: str) -> bytes:
    spec = {"type": "feature_gate", "entity": "feature_gate", "salt": "s", "enabled": True, "rules": []}
    specs = {"feature_gates": {name: {**spec, "defaultValue": False}}}
    document = {"kind": FeatureKind.GATE, "name": name, "revision": 1, "eventTimeMs": 0, "specs": specs}
    return json.dumps(document).encode()


class KnownKeys(KeyStore):
    """Keys that are named by themselves."""

    def find(self, key: str) -> SdkKey | None:
        return SdkKey(id=key, digest=sdk_keys.digest(key), created_ms=0, region="dev")


@pytest.fixture
def rules() -> RegionRules:
    """Twenty flags."""
    rules = RegionRules("dev")
    rules.replace(map(document, FLAGS), Position("created", 1, 1), 1)
    return rules


@pytest.fixture
async def http(tmp_path: Path, rules: RegionRules) -> AsyncIterator[httpx2.AsyncClient]:
    """An edge with these flags."""
    feed, keys, address = SpecFeed(rules), KnownKeys("dev", RuleCache(tmp_path / "keys")), PublicAddress(None)
    events = OfrepEvents("dev", feed, keys, address, waiting_limit(100, 10))
    routes = OfrepRoutes(rules, feed, keys, lambda: False, events).routes()
    transport = httpx2.ASGITransport(app=Starlette(routes=routes))
    async with httpx2.AsyncClient(base_url="http://edge", transport=transport) as http:
        yield http


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Users in the order in which a flag was evaluated for them; each flag takes half a slice."""
    users: list[str] = []

    def evaluate(rules: RegionRules, user: Any, key: str) -> Any:
        users.append(user.user_id if hasattr(user, "user_id") else user["userID"])
        return evaluate_flag(rules, user, key)

    ticks = itertools.count()
    monkeypatch.setattr(ofrep, "evaluate_flag", evaluate)
    monkeypatch.setattr(ofrep, "monotonic", lambda: next(ticks) * SLICE_SECONDS / 2)
    return users


def all_flags(http: httpx2.AsyncClient, key: str, user: str) -> Any:
    return http.post(FLAGS_PATH, json={"context": {"targetingKey": user}}, headers={"x-api-key": key})


async def test_requests_of_another_key_are_answered_between_the_flags(
    http: httpx2.AsyncClient, evaluated: list[str]
) -> None:
    answers = await asyncio.gather(all_flags(http, "key-a", "a"), all_flags(http, "key-b", "b"))

    runs = [len(list(group)) for _, group in itertools.groupby(evaluated)]
    assert [len(answer.json()["flags"]) for answer in answers] == [20, 20]
    assert max(runs) <= 6


async def test_requests_of_one_key_take_turns(http: httpx2.AsyncClient, evaluated: list[str]) -> None:
    await asyncio.gather(*(all_flags(http, "key-a", user) for user in "abc"))

    assert [user for user, _ in itertools.groupby(evaluated)] == ["a", "b", "c"]


async def test_who_waits_too_long_is_told_when_to_come_back(
    http: httpx2.AsyncClient, evaluated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.0)

    answers = await asyncio.gather(*(all_flags(http, "key-a", user) for user in "ab"))

    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["retry-after"] == "5"


async def test_a_tag_stands_for_the_flags_that_were_sent_with_it_also_in_a_burst_of_changes(
    http: httpx2.AsyncClient, rules: RegionRules
) -> None:
    """Otherwise a client that got a candidate for a moment would keep it after it was taken back."""
    before = await all_flags(http, "key-a", "ada")
    on = document("flag-00").replace(b'"defaultValue": false', b'"defaultValue": true')
    rules.replace([on, *map(document, FLAGS[1:])], Position("created", 2, 2), 1)
    released = await all_flags(http, "key-a", "ada")
    rules.replace(map(document, FLAGS), Position("created", 3, 3), 1)

    body, headers = {"context": {"targetingKey": "ada"}}, {"x-api-key": "key-a"}
    known = {**headers, "if-none-match": released.headers["etag"]}
    after = await http.post(FLAGS_PATH, json=body, headers=known)

    assert [answer.json()["flags"][0]["value"] for answer in (before, released)] == [False, True]
    assert released.headers["etag"] != before.headers["etag"]
    assert (after.status_code, after.json()["flags"][0]["value"]) == (200, False)
