"""Advance → applied, and alert → all regions reverted, against the same hops in raw nats-py.

Raw: a conditional write, a consumer of that stream that answers with one pipelined put per region, and
one ordered consumer per region. For the alert, in front of it, a JetStream publish, its consumer, and
a request-reply. Subscribers share at most 50 connections on either side.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy, StreamConfig

from sluiceway.client.region_client import RegionClient
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
    SaveRegion,
)
from sluiceway.messaging.connection import Connection, connected
from sluiceway.settings import BrokerSettings
from tests.benchmarks.measure import Line, Samples, show, timed
from tests.benchmarks.processes import started
from tests.support.brokers import Broker
from tests.support.system import EVERYONE, Driver, driving

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

#: Regions → rounds.
SIZES = {1: 50, 10: 50, 100: 20}
CONNECTIONS_MAX = 50


class Arrivals:
    """Says when all of so many have arrived."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._seen: set[int] = set()
        self._all = asyncio.Event()

    def begin(self) -> None:
        self._seen.clear()
        self._all.clear()

    def note(self, who: int) -> None:
        self._seen.add(who)
        if len(self._seen) == self._wanted:
            self._all.set()

    async def wait(self) -> None:
        async with asyncio.timeout(60):
            await self._all.wait()


async def test_fan_out(broker: Broker, tmp_path: Path) -> None:
    lines = {"advance": [], "alert": []}  # type: dict[str, list[Line]]
    services = ("scheduler", "evaluator_publisher", "monitor")
    async with started(broker.url, tmp_path, *services), driving(broker.url) as driver:
        await driver.accepted(SaveEnvironment, environment={"name": "production"})
        await driver.accepted(SavePipeline, pipeline=_pipeline())
        known = 0
        for size, rounds in SIZES.items():
            for n in range(known, size):
                await driver.accepted(SaveRegion, region={"name": f"r{n}", "environment": "production"})
            known = size
            advance, alert = await _ours(broker.url, driver, size, rounds)
            raw_advance, raw_alert = await _raw(broker.url, size, rounds)
            lines["advance"].append(Line(f"{size} regions", advance, raw_advance))
            lines["alert"].append(Line(f"{size} regions", alert, raw_alert))
    show("Phase starts → applied in the last region", lines["advance"])
    show("Alert → the last region reverted", lines["alert"])


async def _ours(url: str, driver: Driver, size: int, rounds: int) -> tuple[Samples, Samples]:
    advance, alert, arrivals = Samples(), Samples(), Arrivals(size)
    async with _connections(url, size) as connections, AsyncExitStack() as stack:
        for n in range(size):
            rules = RegionRules(f"r{n}")
            rules.on_applied = lambda change, n=n: arrivals.note(n)  # type: ignore[misc]
            client = RegionClient(connections[n % len(connections)], rules, instance="bench")
            await stack.enter_async_context(client)
            await client.caught_up()
        for turn in range(rounds):
            name = f"gate-{size}-{turn}"
            arrivals.begin()
            await driver.save_gate(name)
            await arrivals.wait()
            change = {"kind": "FeatureGate", "name": name, "rules": [EVERYONE], "releasePipelineID": "all"}
            await driver.accepted(SaveFeature, feature=change)
            start = ApprovePhase(actor="bench", trigger=f"gate.{name}.1", phase_id="all")
            await timed(advance, lambda start=start: _and_arrive(arrivals, driver.commands.send(start)))  # type: ignore[misc]
            await timed(alert, lambda name=name: _and_arrive(arrivals, driver.alert("Boom", gate=name)))  # type: ignore[misc]
            ended = await driver.refused(AbortTrigger, trigger=f"gate.{name}.1")
            assert "ROLLED_BACK" in ended.message
    return advance, alert


async def _raw(url: str, size: int, rounds: int) -> tuple[Samples, Samples]:
    advance, alert, arrivals = Samples(), Samples(), Arrivals(size)
    async with _connections(url, size) as connections, connected(BrokerSettings(nats_url=url), "raw") as hub:
        await hub.js.add_stream(StreamConfig(name=f"RAW{size}", subjects=[f"raw{size}.>"]))
        payload = json.dumps({"filler": "x" * 900}).encode()
        await hub.client.subscribe(f"rawcommand{size}", cb=_decide(hub, size, payload))
        await hub.js.subscribe(
            f"raw{size}.log", stream=f"RAW{size}", ordered_consumer=True, cb=_fan_out(hub, size, payload)
        )
        await hub.js.subscribe(
            f"raw{size}.alert", stream=f"RAW{size}", durable="alerts", cb=_ask(hub, size),
            manual_ack=True, config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW),
        )  # fmt: skip
        for n in range(size):
            await connections[n % len(connections)].js.subscribe(
                f"raw{size}.rules.{n}", stream=f"RAW{size}", ordered_consumer=True, cb=_arrived(arrivals, n),
                deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            )  # fmt: skip
        for _ in range(rounds):
            await timed(
                advance,
                lambda: _and_arrive(arrivals, hub.client.request(f"rawcommand{size}", b"", timeout=5)),
            )
            await timed(alert, lambda: _and_arrive(arrivals, hub.js.publish(f"raw{size}.alert", b"{}")))
        await hub.js.delete_stream(f"RAW{size}")
    return advance, alert


def _decide(hub: Connection, size: int, payload: bytes) -> Callable[[Msg], Awaitable[None]]:
    last = 0

    async def decide(message: Msg) -> None:
        nonlocal last
        headers = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        last = (await hub.js.publish(f"raw{size}.log", payload, headers=headers)).seq
        await message.respond(b"done")

    return decide


def _ask(hub: Connection, size: int) -> Callable[[Msg], Awaitable[None]]:
    async def ask(message: Msg) -> None:
        await hub.client.request(f"rawcommand{size}", b"", timeout=5)
        await message.ack()

    return ask


def _fan_out(hub: Connection, size: int, payload: bytes) -> Callable[[Msg], Awaitable[None]]:
    async def fan_out(_: Msg) -> None:
        futures = [await hub.js.publish_async(f"raw{size}.rules.{n}", payload) for n in range(size)]
        await asyncio.gather(*futures)

    return fan_out


def _arrived(arrivals: Arrivals, n: int) -> Callable[[Msg], Awaitable[None]]:
    async def arrived(_: Msg) -> None:
        arrivals.note(n)

    return arrived


async def _and_arrive(arrivals: Arrivals, cause: Awaitable[object]) -> None:
    arrivals.begin()
    await cause
    await arrivals.wait()


@asynccontextmanager
async def _connections(url: str, size: int) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(connected(BrokerSettings(nats_url=url), f"region-{n}"))
            for n in range(min(size, CONNECTIONS_MAX))
        ]


def _pipeline() -> dict[str, Any]:
    rule = {"name": "all", "environments": ["production"]}
    return {
        "name": "all",
        "phases": [{"name": "all", "timeInterval": "1h", "requiredReview": True, "rules": [rule]}],
    }
