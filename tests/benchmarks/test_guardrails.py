"""1,000 releases with five guardrails each, measured by real monitors at a Prometheus that counts.

How many queries they cost, how evenly those come, what the monitor takes of its host, what a second
monitor and a killed one change, and how much later an alert reverts the last region meanwhile.
"""

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.console import Console
from rich.table import Table

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import SaveFeature
from sluiceway.messaging.stream_follower import Follower as StreamFollower
from sluiceway.messaging.stream_records import Record
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, REGIONS, apply_catalogue
from tests.support.system import EVERYONE, Driver, Follower, driving, following
from tests.support.waiting import eventually

from .measure import Line, Samples, show, timed
from .processes import ROOT, started
from .usage import Usage, used_by

Process = asyncio.subprocess.Process

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

RELEASES = 1_000
RELEASED_AT_ONCE = 20
INTERVAL_SECONDS = 10
#: Intervals that pass before figures count, and over which they are taken.
WARM_UP, ALONE, TOGETHER = 2, 6, 3
ALERTS = 20
#: So that they come at all times of an interval.
ALERT_EVERY_SECONDS = 0.37
SCRAPES = 5
ALERT = "Alert → the last region reverted (raw: the same without load)"
BAKE_MS = 10**9
#: The first phase covers these regions.
COVERED = tuple(name for name, environment in REGIONS.items() if environment == "production")
#: Two are equal for all releases, two are a release's own, one is a region's own.
QUERIES = {
    "errors": "sum(rate(http_errors_total[5m])) / sum(rate(http_requests_total[5m]))",
    "latency": "histogram_quantile(0.99, sum by (le) (rate(http_seconds_bucket[5m])))",
    "gate-errors": 'sum(rate(errors_total{gate="{{ feature }}"}[5m]))',
    "gate-latency": 'max(latency_seconds{gate="{{ feature }}"})',
    "region-errors": 'sum(rate(http_errors_total{region="{{ region }}"}[5m]))',
}
GUARDRAILS = RELEASES * len(QUERIES)
DISTINCT = 2 + 2 * RELEASES + len(COVERED)


class Rounds:
    """Every round that is stored, and whether each counts on from the one before it."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.seen: Counter[str] = Counter()
        #: From the start of the phase to the first round of a guardrail.
        self.first = Samples()
        self.restarted: list[str] = []
        self._counts: dict[str, int] = {}

    def note(self, record: Record) -> None:
        round_ = json.loads(record.data)
        self.times.append(time.monotonic())
        self.seen[record.subject] += 1
        count = next(iter(round_["tallies"].values()))["successes"]
        known = self._counts.get(record.subject, 0)
        if not known:
            self.first.milliseconds.append(round_["timeMs"] - round_["sinceMs"])
        if count != known + 1:
            self.restarted.append(f"{record.subject}: {known} successes, then {count}")
        self._counts[record.subject] = count

    def begin(self) -> None:
        """Count anew from here."""
        self.times.clear()
        self.seen.clear()

    def longest_pause(self, since: float) -> float:
        """Return the longest time without any round, in seconds, counted from here."""
        return max((later - earlier for earlier, later in pairwise([since, *self.times])), default=0.0)


class Regions:
    """The regions of the first phase, as subscribers hold them."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self._followers = followers
        self._changed = asyncio.Event()
        for follower in followers:
            follower.rules.on_applied = lambda _: self._changed.set()

    async def all_pass(self, gate: str, expected: bool) -> None:
        """Return once the last region gives a gate, or no region gives it any more."""
        async with asyncio.timeout(60):
            while any(follower.passes(gate) is not expected for follower in self._followers):
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Figures:
    """What some time has shown."""

    title: str
    usages: Sequence[Usage]
    intervals: float = 0.0
    rounds: int = 0
    #: Rounds of the guardrail that had most.
    rounds_of_one: int = 0
    pause: float = 0.0
    asked: dict[str, Any] = field(default_factory=dict)


async def test_guardrails_of_a_thousand_releases(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("looks at processes through /proc")
    async with AsyncExitStack() as stack:
        prometheus = await stack.enter_async_context(_prometheus(tmp_path))
        monkeypatch.setenv("SLUICEWAY_PROMETHEUS_URL", str(prometheus.base_url))
        await stack.enter_async_context(started(broker.url, tmp_path, "scheduler", "evaluator_publisher"))
        driver = await stack.enter_async_context(driving(broker.url))
        await apply_catalogue(driver, _phase("production"), _phase("staging", "development"))
        regions = await stack.enter_async_context(_regions(broker.url))
        rounds = await stack.enter_async_context(_stored(driver))
        bench = Bench(broker.url, tmp_path, driver, regions, prometheus, rounds)
        figures = await bench.run()
    _show_queries(figures)
    _show_usage(figures)
    assert not bench.rounds.restarted, bench.rounds.restarted[:5]
    for shown in figures:
        assert shown.rounds_of_one <= shown.intervals + 2, shown.title


@dataclass
class Bench:
    """The system under load."""

    url: str
    logs: Path
    driver: Driver
    regions: Regions
    prometheus: httpx2.AsyncClient
    rounds: Rounds

    async def run(self) -> list[Figures]:
        async with self._monitor("first") as first:
            quiet = await self._alerts("quiet")
            async with self._observed("released", first) as released:
                await self._release_all()
            _show_first(self.rounds)
            await asyncio.sleep(WARM_UP * INTERVAL_SECONDS)
            async with self._observed("one monitor", first) as alone:
                await asyncio.sleep(ALONE * INTERVAL_SECONDS)
            show(ALERT, [Line("under load", await self._alerts("busy"), quiet)])
            await _show_scrapes((self.logs / "first" / "monitor.url").read_text())
            async with self._monitor("second") as second:
                await asyncio.sleep(WARM_UP * INTERVAL_SECONDS)
                async with self._observed("two monitors", first, second) as together:
                    await asyncio.sleep(TOGETHER * INTERVAL_SECONDS)
                async with self._observed("one of two killed", second) as halved:
                    first.kill()
                    await asyncio.sleep(2 * INTERVAL_SECONDS)
                second.kill()
                await second.wait()
        async with (
            self._observed("the only one killed, and started anew") as restarted,
            self._monitor("third"),
        ):
            await asyncio.sleep(2 * INTERVAL_SECONDS)
        return [released, alone, together, halved, restarted]

    @asynccontextmanager
    async def _monitor(self, name: str) -> AsyncIterator[Process]:
        async with started(self.url, self.logs / name, "monitor") as processes:
            yield processes["monitor"]

    @asynccontextmanager
    async def _observed(self, title: str, *monitors: Process) -> AsyncIterator[Figures]:
        """Count while the block runs."""
        async with AsyncExitStack() as stack:
            usages = [await stack.enter_async_context(used_by(monitor.pid)) for monitor in monitors]
            figures = Figures(title, usages)
            await self.prometheus.get("/counts")
            self.rounds.begin()
            begin = time.monotonic()
            yield figures
            figures.intervals = (time.monotonic() - begin) / INTERVAL_SECONDS
            figures.asked = (await self.prometheus.get("/counts")).json()
            figures.rounds = len(self.rounds.times)
            figures.rounds_of_one = max(self.rounds.seen.values(), default=0)
            figures.pause = self.rounds.longest_pause(since=begin) / INTERVAL_SECONDS

    async def _release_all(self) -> None:
        free = asyncio.Semaphore(RELEASED_AT_ONCE)
        self.rounds.first.milliseconds.clear()

        async def release(name: str) -> None:
            async with free:
                await _release(self.driver, name)

        await asyncio.gather(*(release(f"gate{n}") for n in range(RELEASES)))
        first = self.rounds.first.milliseconds
        await eventually(lambda: len(first) >= GUARDRAILS, "all are measured", 120)

    async def _alerts(self, name: str) -> Samples:
        """Release gates, and let an alert take each back."""
        gc.collect()
        gc.freeze()
        samples = Samples()
        for n in range(ALERTS):
            gate = f"{name}{n}"
            await _release(self.driver, gate)
            await self.regions.all_pass(gate, True)
            await timed(samples, partial(self._alert, gate))
            await asyncio.sleep(ALERT_EVERY_SECONDS)
        return samples

    async def _alert(self, gate: str) -> None:
        await self.driver.alert("Boom", gate=gate)
        await self.regions.all_pass(gate, False)


async def _release(driver: Driver, name: str) -> None:
    gate = {"kind": "FeatureGate", "name": name, "rules": []}
    for document in (gate, {**gate, "rules": [EVERYONE], "releasePipelineID": PIPELINE}):
        reply = await driver.send(SaveFeature, feature=document)
        assert reply.refusal is None, reply.refusal  # on a busy host it may be sent twice, and change nothing


@asynccontextmanager
async def _prometheus(logs: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the stub; gives a client of it."""
    file = logs / "prometheus.url"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.stub_prometheus", str(file)), cwd=ROOT
    )
    try:
        await eventually(file.exists, "the stub answers")
        async with httpx2.AsyncClient(base_url=file.read_text(), trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _regions(url: str) -> AsyncIterator[Regions]:
    async with AsyncExitStack() as stack:
        yield Regions([await stack.enter_async_context(following(url, name)) for name in COVERED])


@asynccontextmanager
async def _stored(driver: Driver) -> AsyncIterator[Rounds]:
    """Follow what is stored; what a conditional write refuses is seen by subscribers of the subject alone."""
    rounds = Rounds()
    stream, filters = subjects.MEASUREMENTS_STREAM, [subjects.MEASUREMENTS]
    async with StreamFollower(driver.connection, stream, filters, rounds.note):
        yield rounds


def _phase(*environments: str) -> dict[str, Any]:
    return {
        "name": environments[0],
        "timeIntervalMs": BAKE_MS,
        "rules": [{"name": environments[0], "environments": environments}],
        "guardrails": [
            {
                "name": name,
                "query": query,
                "failureCondition": "> 0.5",
                "intervalMs": INTERVAL_SECONDS * 1_000,
            }
            for name, query in QUERIES.items()
        ],
    }


def _show_first(rounds: Rounds) -> None:
    p50, p99 = (rounds.first.quantile(share) / 1_000 / INTERVAL_SECONDS for share in (0.5, 0.99))
    print(f"\nPhase starts → first round of a guardrail, in intervals: p50 {p50:.3f}, p99 {p99:.3f}")


def _show_queries(figures: Sequence[Figures]) -> None:
    title = f"{RELEASES:,} releases, {GUARDRAILS:,} guardrails, {DISTINCT:,} distinct queries; per interval"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in (
        "rounds", "of guardrails", "queries", "of distinct", "busiest second / mean", "in flight at most",
        "longest pause (intervals)",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for shown in figures:
        seconds = list(shown.asked["seconds"].values())
        queries = shown.asked["queries"] / shown.intervals
        rounds = shown.rounds / shown.intervals
        table.add_row(
            shown.title,
            f"{rounds:,.0f}",
            f"{rounds / GUARDRAILS:.2f}",
            f"{queries:,.0f}",
            f"{queries / DISTINCT:.2f}",
            f"{max(seconds) / (queries / INTERVAL_SECONDS):.2f}",
            str(shown.asked["inFlightMax"]),
            f"{shown.pause:.2f}",
        )
    Console(width=140).print("\n", table)


def _show_usage(figures: Sequence[Figures]) -> None:
    table = Table(title="What each monitor takes", title_justify="left")
    table.add_column("")
    for column in ("cores", "last third / first", "MiB", "last third / first", "ms of a core per round"):
        table.add_column(column, justify="right")
    for shown in figures:
        for usage in shown.usages:
            first, last = usage.first_third, usage.last_third
            per_round = usage.cores() * shown.intervals * INTERVAL_SECONDS * 1_000 / max(1, shown.rounds)
            table.add_row(
                shown.title,
                f"{usage.cores():.2f}",
                f"{usage.cores(last) / usage.cores(first):.2f}",
                f"{usage.memory_bytes() / 2**20:.0f}",
                f"{usage.memory_bytes(last) / usage.memory_bytes(first):.2f}",
                f"{per_round:.2f}",
            )
    Console(width=140).print("\n", table)


async def _show_scrapes(url: str) -> None:
    """Print how long a scrape of the monitor keeps a small request waiting."""
    async with (
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
        httpx2.AsyncClient(base_url=url, trust_env=False) as prober,
    ):
        without, during, scrape = Samples(), Samples(), Samples()
        await _probe(prober, without, asyncio.create_task(asyncio.sleep(SCRAPES)))
        for _ in range(SCRAPES):
            scraping = asyncio.create_task(timed(scrape, lambda: client.get("/metrics", timeout=60)))
            await _probe(prober, during, scraping)
        text = (await client.get("/metrics", timeout=60)).text
    table = Table(title=f"One scrape of {len(text.splitlines()):,} lines", title_justify="left")
    for column in ("", "n", "p50 (ms)", "longest"):
        table.add_column(column, justify="right")
    for what, samples in (("scrape", scrape), ("small request meanwhile", during), ("without", without)):
        figures = f"{samples.quantile(0.5):.1f}", f"{samples.quantile(1):.1f}"
        table.add_row(what, str(len(samples.milliseconds)), *figures)
    Console(width=120).print("\n", table)


async def _probe(client: httpx2.AsyncClient, samples: Samples, until: "asyncio.Task[None]") -> None:
    while not until.done():
        await timed(samples, lambda: client.get("/healthz", timeout=60))
    await until
