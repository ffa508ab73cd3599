"""An edge with 10,000 features: a change to the last of 1,000 held polls, and 10,000 who wait idly."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest
from rich.console import Console

from sluiceway.contracts.catalogue import Environment, Region
from sluiceway.contracts.commands import SaveEnvironment, SaveRegion
from tests.support.brokers import Broker
from tests.support.edges import create_key
from tests.support.system import EVERYONE, Driver, driving
from tests.support.waiting import eventually

from .catalogue import write_catalogue
from .event_writer import append_events
from .live_gates import live_gates
from .measure import Samples
from .processes import Program, program
from .report import Section, record
from .service_starts import RunningService, started_service

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

REGION = "dev"
FEATURES = 10_000
POLLS = 1_000
ROUNDS = 5
IDLE = 10_000
#: One key, or one address, may have half of all that wait.
KEYS = 2
#: Longer than a poll is held.
ANSWER_SECONDS_MAX = 60.0
#: The column of the documentation.
MEDIAN = "p50 / longest"
SPECS = "/v2/download_config_specs"


@dataclass
class EdgeFigures:
    """From a change until the last client had it, and how long the edge computed for it."""

    last: Samples = field(default_factory=Samples)
    computed: Samples = field(default_factory=Samples)
    payload_bytes: int = 0
    compressed_bytes: int = 0


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICEWAY_REGION", REGION)
    monkeypatch.setenv("SLUICEWAY_SNAPSHOT_DIR", str(tmp_path / "edges"))
    monkeypatch.setenv("SLUICEWAY_HTTP_CONNECTIONS_PER_ADDRESS", str(2 * IDLE))
    monkeypatch.setenv("SLUICEWAY_HTTP_KEEP_ALIVE_SECONDS", "600")


async def test_held_polls(broker: Broker, tmp_path: Path) -> None:
    figures = EdgeFigures()
    async with driving(broker.url) as driver, _edge(driver, broker.url, tmp_path) as served:
        async with program("waiting_clients", served.edge.url, POLLS, *served.keys) as clients:
            for turn in range(ROUNDS):
                await _hold(clients, served)
                usage, begin = served.edge.usage, time.perf_counter()
                await driver.save_gate("gate-0", EVERYONE, description=f"change {turn}")
                answered = await _answered(clients)
                usage.look()
                figures.last.milliseconds.append((answered.at - begin) * 1_000)
                figures.computed.milliseconds.append(usage.computed_seconds * 1_000)
                figures.compressed_bytes = answered.size // POLLS
        figures.payload_bytes = len((await served.get(SPECS)).content)
    _show(figures)


async def test_idle_clients(broker: Broker, tmp_path: Path) -> None:
    async with driving(broker.url) as driver, _edge(driver, broker.url, tmp_path) as served:
        memory = {"nobody": served.edge.memory}
        async with program("waiting_clients", served.edge.url, IDLE, *served.keys) as clients:
            await _hold(clients, served)
            memory[f"{IDLE:,} held polls"] = served.edge.memory
            await _answered(clients)
        async with program("waiting_clients", served.edge.url, IDLE, *served.keys) as clients:
            clients.tell(*[await served.stream_path(key) for key in served.keys])
            assert await clients.line(ANSWER_SECONDS_MAX) == ["sent"]
            assert await clients.line(ANSWER_SECONDS_MAX) == ["begun"]
            memory[f"{IDLE:,} event streams"] = served.edge.memory
    for who, figure in memory.items():
        Console(width=120).print(f"memory of an edge, now / at most, with {who}: {figure}")
        record(Section.EDGE, f"memory with {who}: now / at most", {MEDIAN: figure})


@dataclass(frozen=True)
class _Served:
    """An edge that serves all features, and keys for it."""

    edge: RunningService
    keys: tuple[str, ...]

    async def get(self, path: str, key: str = "") -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.edge.url, trust_env=False, timeout=30) as client:
            return await client.get(path, headers={"statsig-api-key": key or self.keys[0]})

    async def held_path(self) -> str:
        """Return what a client asks for that has everything."""
        specs = json.loads((await self.get(SPECS)).content)
        return f"{SPECS}?{urlencode({'sinceTime': specs['time'], 'checksum': specs['checksum']})}"

    async def stream_path(self, key: str) -> str:
        """Return the address of an event stream."""
        async with httpx2.AsyncClient(base_url=self.edge.url, trust_env=False, timeout=30) as client:
            body = {"context": {"targetingKey": "ada"}}
            bulk = await client.post("/ofrep/v1/evaluate/flags", json=body, headers={"x-api-key": key})
        address: str = bulk.json()["eventStreams"][0]["endpoint"]["requestUri"]
        return address


@dataclass(frozen=True)
class _Answered:
    at: float
    size: int


@asynccontextmanager
async def _edge(driver: Driver, url: str, folder: Path) -> AsyncIterator[_Served]:
    """Run an edge with all features, and what publishes them."""
    development = Environment(name="development")
    region = Region(name=REGION, environment=development.name)
    await write_catalogue(
        driver.connection,
        [
            SaveEnvironment(actor="bench", environment=development),
            SaveRegion(actor="bench", region=region),
        ],
    )
    await append_events(driver.connection, live_gates(f"gate-{n}" for n in range(FEATURES)))
    async with (
        started_service("scheduler", url, folder / "services"),
        started_service("evaluator_publisher", url, folder / "services"),
    ):
        keys = [await create_key(driver, region=REGION) for _ in range(KEYS)]
        async with started_service("edge", url, folder / "services") as edge:
            served = _Served(edge, tuple(keys))
            for key in keys:
                await eventually(lambda key=key: _has_all(served, key), "the edge serves everything")  # type: ignore[misc]
            yield served


async def _has_all(served: _Served, key: str) -> bool:
    answer = await served.get(SPECS, key)
    return answer.status_code == 200 and len(answer.json()["feature_gates"]) == FEATURES


async def _hold(clients: Program, served: _Served) -> None:
    """Return once the edge holds a poll of every client."""
    clients.tell(await served.held_path())
    assert await clients.line(ANSWER_SECONDS_MAX) == ["sent"]
    # The edge reads what has arrived before what arrives now.
    assert (await served.get("/healthz")).status_code == 200


async def _answered(clients: Program) -> _Answered:
    assert await clients.line(ANSWER_SECONDS_MAX) == ["begun"]
    word, at, size = await clients.line(ANSWER_SECONDS_MAX)
    assert word == "answered"
    return _Answered(float(at), int(size))


def _show(figures: EdgeFigures) -> None:
    last, computed = figures.last, figures.computed
    for what, samples in (("the last of them has a change after", last), ("the edge computes", computed)):
        figure = f"{samples.quantile(0.5):,.0f} / {samples.quantile(1):,.0f} ms"
        record(Section.EDGE, f"{POLLS:,} held polls, {FEATURES:,} features: {what}", {MEDIAN: figure})
    Console(width=120).print(
        f"\n{POLLS:,} held polls of {figures.payload_bytes:,} bytes ({figures.compressed_bytes:,} in gzip): "
        f"the last has a change after {last.quantile(0.5):,.0f} ms (p50; longest {last.quantile(1):,.0f}); "
        f"the edge computes {computed.quantile(0.5):,.0f} ms (longest {computed.quantile(1):,.0f})"
    )
