"""Event streams of OpenFeature clients: what they say, how long their addresses last, and when they end."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest

from services.edge import ofrep_events
from services.edge.ofrep_events import RENEW_SECONDS, TOKEN_SECONDS
from sluiceway import sdk_keys
from sluiceway.clock import now_ms
from sluiceway.contracts.commands import RevokeKey
from tests.integration.edge.conftest import Served
from tests.support.brokers import Broker
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.http import http_client
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

FLAGS = "/ofrep/v1/evaluate/flags"
BODY = {"context": {"targetingKey": "u"}}
BOUND_SECONDS = 10.0
REFETCH = "refetchEvaluation"


class Clock:
    """The clock of an edge's event streams, which a test puts forward."""

    def __init__(self) -> None:
        self.ahead_seconds = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead_seconds * 1_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ofrep_events, "now_ms", clock)
    monkeypatch.setattr(ofrep_events, "KEEP_ALIVE_SECONDS", 0.05)
    return clock


class Listener:
    """A client that listens to a stream, without any credential but the address."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.last_id = ""

    async def comment(self) -> str:
        async with asyncio.timeout(BOUND_SECONDS):
            while not (line := await anext(self._lines)).startswith(":"):
                pass
        return line

    async def event(self) -> dict[str, Any]:
        """Return the data of the next event."""
        async with asyncio.timeout(BOUND_SECONDS):
            while not (line := await anext(self._lines)).startswith("data:"):
                if line.startswith("id:"):
                    self.last_id = line.removeprefix("id:").strip()
        found: dict[str, Any] = json.loads(line.removeprefix("data:"))
        return found

    async def ends(self) -> bool:
        async with asyncio.timeout(BOUND_SECONDS):
            async for _ in self._lines:
                pass
        return True


@asynccontextmanager
async def listening(edge: RunningEdge, address: str, **headers: str) -> AsyncIterator[Listener]:
    async with (
        http_client(base_url=edge.url, headers=headers, timeout=15) as http,
        http.stream("GET", address) as response,
    ):
        yield Listener(response)


async def evaluate(edge: RunningEdge, etag: str = "") -> httpx2.Response:
    return await edge.http.post(FLAGS, json=BODY, headers={"if-none-match": etag} if etag else {})


def address_of(bulk: httpx2.Response) -> str:
    (stream,) = bulk.json()["eventStreams"]
    address: str = stream["endpoint"]["requestUri"]
    return address


async def opens(edge: RunningEdge, address: str) -> bool:
    async with listening(edge, address) as listener:
        return listener.response.status_code == 200


async def serves(dev: Served, gate: str) -> None:
    await eventually(lambda: dev.edge.edge.rules.gate({}, gate).revision > 0, f"the edge has {gate}")


async def test_a_listener_receives_each_change_and_no_proxy_may_collect_them(dev: Served) -> None:
    driver, edge, key = dev
    await driver.save_gate("checkout")
    await serves(dev, "checkout")
    address = address_of(await evaluate(edge))

    async with listening(edge, address) as listener:
        await listener.comment()
        await driver.save_gate("checkout", EVERYONE)
        event = await listener.event()

    headers = listener.response.headers
    assert event["type"] == REFETCH
    assert headers["content-type"].startswith("text/event-stream")
    assert (headers["x-accel-buffering"], headers["cache-control"]) == ("no", "private, no-store")
    assert key not in address


async def test_what_changes_before_the_stream_opens_is_told_at_once(dev: Served) -> None:
    driver, edge, _ = dev
    await driver.save_gate("checkout")
    await serves(dev, "checkout")
    before = await evaluate(edge)
    await driver.save_gate("second")
    await serves(dev, "second")

    async with listening(edge, address_of(before)) as late:
        told = await late.event()
    async with listening(edge, address_of(before), **{"last-event-id": late.last_id}) as again:
        await again.comment()
        await driver.save_gate("third")
        await again.event()

    assert told["type"] == REFETCH
    assert again.last_id != late.last_id


async def test_an_expired_address_yields_a_new_one_although_no_flag_has_changed(
    dev: Served, clock: Clock
) -> None:
    _, edge, _ = dev
    first = await evaluate(edge)
    same = await evaluate(edge, first.headers["etag"])

    clock.ahead_seconds = TOKEN_SECONDS + 1
    async with listening(edge, address_of(first)) as expired:
        refused = json.loads(await expired.response.aread())
    second = await evaluate(edge, first.headers["etag"])

    assert same.status_code == 304
    assert expired.response.status_code == 401
    assert "expired" in refused["errorDetails"]
    assert second.status_code == 200
    assert second.json()["flags"] == first.json()["flags"]
    assert await opens(edge, address_of(second))
    assert (await evaluate(edge, second.headers["etag"])).status_code == 304


async def test_an_address_is_renewed_well_before_it_expires(dev: Served, clock: Clock) -> None:
    _, edge, _ = dev
    bulk = await evaluate(edge)
    fresh = []
    for _ in range(5):
        clock.ahead_seconds += RENEW_SECONDS
        newer = await evaluate(edge, bulk.headers["etag"])
        fresh.append((newer.status_code, address_of(newer) != address_of(bulk)))
        bulk = newer

        expires = int(dict(parse_qsl(urlsplit(address_of(bulk)).query))["expires"])
        assert TOKEN_SECONDS - RENEW_SECONDS <= expires - clock() // 1_000 <= TOKEN_SECONDS

    assert fresh == [(200, True)] * 5


async def test_a_stream_asks_its_client_to_renew_the_address_and_goes_on(dev: Served, clock: Clock) -> None:
    driver, edge, _ = dev
    await driver.save_gate("checkout")
    await serves(dev, "checkout")
    first = await evaluate(edge)

    async with listening(edge, address_of(first)) as listener:
        await listener.comment()
        for _ in range(3):  # also long after the address has expired
            clock.ahead_seconds += TOKEN_SECONDS
            asked = await listener.event()
        second = await evaluate(edge, first.headers["etag"])
        await driver.save_gate("checkout", EVERYONE)
        changed = await listener.event()

    assert asked["type"] == changed["type"] == REFETCH
    assert second.status_code == 200
    assert await opens(edge, address_of(second))


async def test_a_revoked_key_ends_its_streams_and_no_others(dev: Served) -> None:
    driver, edge, key = dev
    other = await create_key(driver, region="dev")
    await eventually(lambda: edge.edge.keys.is_authorized(other), "the edge knows the other key")
    mine = address_of(await evaluate(edge))
    theirs = address_of(await edge.http.post(FLAGS, json=BODY, headers={"x-api-key": other}))

    async with listening(edge, mine) as listener, listening(edge, theirs) as neighbour:
        await listener.comment()
        await neighbour.comment()
        await driver.accepted(RevokeKey, keyID=sdk_keys.key_id(other))
        ended = await neighbour.ends()
        await driver.save_gate("checkout")
        told = await listener.event()

    assert ended
    assert told["type"] == REFETCH
    assert (await opens(edge, mine), await opens(edge, theirs)) == (True, False)
    assert key != other


async def test_a_key_that_is_created_or_revoked_leaves_the_addresses_of_others_as_they_are(
    dev: Served,
) -> None:
    driver, edge, _ = dev
    first = await evaluate(edge)
    other = await create_key(driver, region="dev")
    await eventually(lambda: edge.edge.keys.is_authorized(other), "the edge knows the other key")

    assert (await evaluate(edge, first.headers["etag"])).status_code == 304
    assert await opens(edge, address_of(first))


@pytest.mark.parametrize(
    "change",
    [
        {"expires": "99999999999"},
        {"expires": "-1"},
        {"expires": "9" * 400},
        {"key": "nobody"},
        {"token": "0" * 64},
        {"token": "\u00e9"},
        {"token": ""},
    ],
)
async def test_an_address_that_was_changed_opens_nothing(dev: Served, change: dict[str, str]) -> None:
    _, edge, _ = dev
    parts = urlsplit(address_of(await evaluate(edge)))
    forged = f"{parts.path}?{urlencode({**dict(parse_qsl(parts.query)), **change})}"

    async with listening(edge, forged) as listener:
        assert listener.response.status_code == 401


async def test_who_knows_the_digest_of_a_key_cannot_make_an_address(dev: Served) -> None:
    _, edge, key = dev
    right = address_of(await evaluate(edge))
    query = dict(parse_qsl(urlsplit(right).query))
    secrets = [sdk_keys.digest(key), sdk_keys.key_id(key), ""]
    forged = [
        hmac.new(secret.encode(), f"events dev {query['expires']}".encode(), hashlib.sha256).hexdigest()
        for secret in secrets
    ]
    tokens = [*forged, "", "None", query["token"].upper(), query["token"][:-1]]

    assert await opens(edge, right)
    for token in tokens:
        assert not await opens(edge, f"/ofrep/v1/events?{urlencode({**query, 'token': token})}")


async def test_an_address_opens_a_stream_at_each_replica_that_knows_the_key(
    dev: Served, broker: Broker, tmp_path: Path
) -> None:
    _, edge, key = dev
    address = address_of(await evaluate(edge))
    async with running_edge(broker.url, "dev", tmp_path / "second", instance="second") as replica:
        store = replica.edge.keys
        await eventually(lambda: store.find_by_id(sdk_keys.key_id(key)), "the replica knows the key's digest")
        before = await opens(replica, address)
        bulk = await replica.http.post(FLAGS, json=BODY, headers={"x-api-key": key})

        assert not before
        assert address_of(bulk) == address
        assert await opens(replica, address)
