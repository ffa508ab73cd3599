"""Phase starts → applied, and alert → all regions reverted, against the same hops in plain nats-py.

Every part is a process of its own on both sides (`tests.benchmarks.raw`); so are all subscribers together,
over at most 50 connections. The sides take turns.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

import pytest

from services.local.broker import EmbeddedBroker
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.catalogue import Environment, Region
from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
    SaveRegion,
)
from sluiceway.contracts.pipeline import Pipeline
from tests.support.system import EVERYONE, Driver, driving

from .catalogue import Save, write_catalogue
from .measure import Line, Samples, record_lines, show, show_computed
from .payloads import Payloads, payloads
from .processes import Program, program, started
from .raw import streams
from .regions import region_name
from .usage import Computed

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

#: Regions → rounds.
SIZES = {1: 50, 10: 50, 100: 20, 995: 8}
#: Regions → streams that hold their rules, if there are several.
STREAMS = {995: 16}
ARRIVES_SECONDS = 60.0
PROCESSES = ("broker", "scheduler", "publisher", "monitor", "regions")
GATE = "gate"


@pytest.mark.parametrize("regions", SIZES)
async def test_fan_out(broker: EmbeddedBroker, tmp_path: Path, regions: int) -> None:
    async with driving(broker.url) as driver, AsyncExitStack() as stack:
        await write_catalogue(driver.connection, _catalogue(regions))
        ours = await stack.enter_async_context(_ours(driver, broker, tmp_path, regions))
        await ours.round("first")
        sizes = await payloads(driver.connection, "first", region_name(0), _approval("first"))
        raw = await stack.enter_async_context(_raw(driver, broker, regions, sizes))
        await raw.round(GATE)
        sides = (ours, raw)
        for side in sides:  # a first round does not count
            side.starts, side.alerts = Samples(), Samples()
        for turn in range(SIZES[regions]):
            await _measured(ours, f"gate-{turn}")
            await _measured(raw, GATE)

    print(f"\n{regions} regions; bytes on either side: {sizes}")
    where = _where(regions)
    lines = [
        Line(f"phase starts → applied {where}", ours.starts, raw.starts),
        Line(f"alert → reverted {where}", ours.alerts, raw.alerts),
    ]
    show("Fan-out", lines)
    record_lines(lines)
    show_computed(
        "A save, a start and an alert (ours: a change and a refusal, too)", ours.computed, raw.computed
    )


async def _measured(side: "_Side", gate: str) -> None:
    with side.computed.counting():
        await side.round(gate)
    side.computed.operations += 1


class _Side(ABC):
    """What both sides measure."""

    def __init__(self, driver: Driver, regions: Program, pids: Sequence[int]) -> None:
        self.driver = driver
        self.computed = Computed(dict(zip(PROCESSES, (*pids, regions.process.pid), strict=True)))
        self.starts, self.alerts = Samples(), Samples()
        self._regions = regions

    @abstractmethod
    async def round(self, gate: str) -> None:
        """Save, start and alert once."""

    async def timed(self, samples: Samples, cause: Awaitable[object], after: int) -> int:
        """Add how long it took until the last region had a version newer than `after`; return that one."""
        begin = perf_counter()
        await cause
        version, at = await self.arrived(after)
        samples.milliseconds.append((at - begin) * 1_000)
        return version

    async def arrived(self, after: int) -> tuple[int, float]:
        """Return the next version newer than `after` that is in all regions, and since when."""
        while True:
            version, at = await self._regions.line(ARRIVES_SECONDS)
            if int(version) > after:
                return int(version), float(at)


class _Ours(_Side):
    async def round(self, gate: str) -> None:
        """Release a new gate to all regions, and take it back by an alert."""
        base = await self.driver.save_gate(gate)
        assert base.revision
        await self.arrived(after=base.revision - 1)
        change = {"kind": "FeatureGate", "name": gate, "rules": [EVERYONE], "releasePipelineID": "all"}
        await self.driver.accepted(SaveFeature, feature=change)
        start = self.driver.commands.send(_approval(gate))
        started = await self.timed(self.starts, start, base.revision)
        await self.timed(self.alerts, self.driver.alert("Boom", gate=gate), started)
        ended = await self.driver.refused(AbortTrigger, trigger=f"gate.{gate}.1")
        assert "ROLLED_BACK" in ended.message


class _Raw(_Side):
    def __init__(self, driver: Driver, regions: Program, pids: Sequence[int], command_bytes: int) -> None:
        super().__init__(driver, regions, pids)
        self._command_bytes = command_bytes
        self._newest = 0

    async def round(self, gate: str) -> None:
        """Send a command that saves, one that starts, and an alert that sends one."""
        await self._command(gate)
        saved, _ = await self.arrived(self._newest)
        started = await self.timed(self.starts, self._command(gate), saved)
        alert = Alert(name="Boom", labels={"gate": gate}).to_json()
        publication = self.driver.connection.js.publish(streams.alerts("tests"), alert)
        self._newest = await self.timed(self.alerts, publication, started)

    async def _command(self, gate: str) -> None:
        command = gate.encode().ljust(self._command_bytes)
        await self.driver.connection.client.request(streams.COMMANDS, command, timeout=5)


@asynccontextmanager
async def _ours(driver: Driver, broker: EmbeddedBroker, logs: Path, regions: int) -> AsyncIterator[_Ours]:
    services = ("scheduler", "evaluator_publisher", "monitor")
    settings = {"SLUICEWAY_RULES_STREAMS": str(STREAMS.get(regions, 1))}
    async with (
        started(broker.url, logs, *services, settings=settings) as processes,
        program("regions", broker.url, regions) as subscribers,
    ):
        pids = [broker.pid or 0, *(processes[name].pid for name in services)]
        yield _Ours(driver, subscribers, pids)


@asynccontextmanager
async def _raw(driver: Driver, broker: EmbeddedBroker, regions: int, sizes: Payloads) -> AsyncIterator[_Raw]:
    await streams.declare(driver.connection.js)
    url = broker.url
    async with (
        program("raw.scheduler", url, sizes.event) as scheduler,
        program("raw.publisher", url, regions, sizes.document) as publisher,
        program("raw.monitor", url, sizes.command) as monitor,
        program("raw.regions", url, regions, GATE) as subscribers,
    ):
        pids = [broker.pid or 0, *(each.process.pid for each in (scheduler, publisher, monitor))]
        yield _Raw(driver, subscribers, pids, sizes.command)


def _where(regions: int) -> str:
    if regions == 1:
        return "in one region"
    last = f"in the last of {regions} regions"
    return f"{last} over {STREAMS[regions]} streams" if regions in STREAMS else last


def _approval(gate: str) -> ApprovePhase:
    return ApprovePhase(actor="bench", trigger=f"gate.{gate}.1", phase_id="all")


def _catalogue(regions: int) -> Iterator[Save]:
    production = Environment(name="production")
    rule = {"name": "all", "environments": [production.name]}
    phase = {"name": "all", "timeInterval": "1h", "requiredReview": True, "rules": [rule]}
    pipeline = Pipeline.model_validate({"name": "all", "phases": [phase]})
    yield SaveEnvironment(actor="bench", environment=production)
    yield SavePipeline(actor="bench", pipeline=pipeline)
    for n in range(regions):
        yield SaveRegion(actor="bench", region=Region(name=region_name(n), environment=production.name))
