"""The console with 10,000 features and 1,000 active releases: reads, first paint, and 500 who listen.

Reads against the same framework answering a constant; events against a bare socket server.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import async_playwright
from rich.console import Console
from rich.table import Table

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Environment
from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import headers_of
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase, pipeline
from tests.support.system import EVERYONE, Driver, driving
from tests.support.waiting import eventually

from .load import Load, on_core, put_load
from .measure import Line, Samples, show, timed
from .processes import ROOT, started
from .usage import Usage

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

FEATURES, ACTIVE = 10_000, 1_000
READS = {
    "one gate": "/console/v1/gates/gate_5",
    "a page of gates": "/console/v1/gates?limit=20&page=3",
    "a page of active releases": "/console/v1/release_pipeline_triggers?status=IN_PROGRESS&limit=20",
    "who I am": "/api/v1/me",
}
CONNECTIONS = 8
TURN_SECONDS = 2.0
LISTENERS = 500
CHANGES = 300
#: How the console is used for long, for what its memory does.
ROUNDS = 30
ROUND_SECONDS = 2.0
ROUND_CHANGES = 10


async def test_console(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("needs two cores: one for the console, one for its load")
    key_file = tmp_path / "console.key"
    monkeypatch.setenv("SLUICEWAY_BOOTSTRAP_KEY_FILE", str(key_file))
    monkeypatch.setenv("SLUICEWAY_REQUESTS_PER_SECOND", "1000000")
    monkeypatch.setenv("SLUICEWAY_HTTP_CONNECTIONS_PER_ADDRESS", "5000")
    monkeypatch.setenv("SLUICEWAY_STREAMS_PER_CALLER", "1000")
    async with started(broker.url, tmp_path, "scheduler"), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await _fill(driver.connection)
        with on_core(cores[0]):
            async with started(broker.url, tmp_path, "console") as processes:
                url, key = (tmp_path / "console.url").read_text(), key_file.read_text()
                with on_core(cores[1]):
                    await asyncio.to_thread(_read, url, key, tmp_path)
                    await _paint(url, key)
                    await _listen(driver, url, key)
                    await _last(driver, url, key, processes["console"].pid)


async def _fill(connection: Connection) -> None:
    catalogue = Catalogue(
        environments={"development": Environment(name="development")},
        pipelines={PIPELINE: Pipeline.model_validate(pipeline(phase("dev", bake_ms=10**9)))},
    )
    futures = []
    for n in range(FEATURES):
        document = {"kind": "FeatureGate", "name": f"gate_{n}", "rules": [EVERYONE]}
        document |= {"releasePipelineID": PIPELINE} if n < ACTIVE else {}
        command = SaveFeature.model_validate({"actor": "bench", "feature": document})
        event = decide(None, command, now_ms(), catalogue)
        assert isinstance(event, FeatureEvent)
        subject, headers = subjects.feature(event.feature.key), headers_of(event, "/bench")
        futures.append(await connection.js.publish_async(subject, event.to_json(), headers=headers))
    await asyncio.gather(*futures)


def _read(url: str, key: str, folder: Path) -> None:
    table = Table(
        title=f"Reads with {FEATURES:,} features, {ACTIVE:,} active releases; {CONNECTIONS} connections"
    )
    for column in ("", "bytes", "per second", "p50 (ms)", "p99 (ms)", "constant / s", "ratio"):
        table.add_column(column, justify="right")
    for what, path in READS.items():
        answer = httpx2.get(url + path, headers={"STATSIG-API-KEY": key})
        assert answer.status_code == 200, answer.text
        ours = _loaded(url, path, key)
        with _constant(folder, answer.text) as constant:
            raw = _loaded(constant, "/", key)
        table.add_row(
            what,
            f"{len(answer.content):,}",
            f"{ours.per_second:,.0f}",
            *(f"{ours.latencies.quantile(share):.1f}" for share in (0.5, 0.99)),
            f"{raw.per_second:,.0f}",
            f"{raw.per_second / ours.per_second:.1f}",
        )
    Console(width=120).print("\n", table)


def _loaded(url: str, path: str, key: str, seconds: float = TURN_SECONDS) -> Load:
    request = f"GET {path} HTTP/1.1\r\nHost: console\r\nSTATSIG-API-KEY: {key}\r\n\r\n".encode()
    put_load(Load(), url, [request], CONNECTIONS, 0.3)  # a first round does not count
    load = Load()
    put_load(load, url, [request], CONNECTIONS, seconds)
    return load


@contextlib.contextmanager
def _constant(folder: Path, answer: str) -> Iterator[str]:
    """Serve the same answer to everything, in a process of its own; gives the URL."""
    file = folder / f"constant-{time.monotonic_ns()}.url"
    arguments = [sys.executable, "-m", "tests.benchmarks.constant", "asyncio", str(file), answer]
    with on_core(0):
        process = subprocess.Popen(arguments, cwd=ROOT)
    try:
        while not file.exists():
            time.sleep(0.02)
        yield file.read_text()
    finally:
        process.terminate()
        process.wait()


async def _paint(url: str, key: str) -> None:
    """Print when the overview is first painted."""
    path = shutil.which("chromium")
    if path is None:
        Console().print("no Chromium here: the first paint is not measured")
        return
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await browser.new_page(base_url=url)
        await page.goto("/")
        await page.get_by_label("Key").fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_selector("h1")
        times = []
        for _ in range(5):
            await page.goto("/")
            times.append(
                await page.evaluate(
                    "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
                    " ?? performance.now()"
                )
            )
        await browser.close()
    Console().print(f"first paint of the overview: {min(times):.0f} to {max(times):.0f} ms")


async def _listen(driver: Driver, url: str, key: str) -> None:
    """Print how long a change takes to the last of many listeners, ours and of a bare socket server."""

    async def change(n: int) -> None:
        await driver.save_gate("changing", EVERYONE, description=str(n))

    async with _bare() as (bare, say):
        ours = await _told(url, key, change)
        raw = await _told(bare, key, say)
    show(f"A change to the last of {LISTENERS} listeners", [Line("saved → heard by all", ours, raw)])


async def _told(url: str, key: str, change: Callable[[int], Awaitable[None]]) -> Samples:
    samples = Samples()
    async with _crowd(url, key) as crowd:
        for n in range(CHANGES):
            await timed(samples, lambda n=n: crowd.heard(change(n)))  # type: ignore[misc]
    return samples


async def _last(driver: Driver, url: str, key: str, console: int) -> None:
    """Print the console's memory after each of many rounds of reads, changes, and crowds that come and go."""
    usage = Usage(console)
    for round_ in range(ROUNDS):
        for path in READS.values():
            await asyncio.to_thread(_loaded, url, path, key, ROUND_SECONDS / len(READS))
        async with _crowd(url, key) as crowd:
            for n in range(ROUND_CHANGES):
                await crowd.heard(driver.save_gate("changing", EVERYONE, description=f"{round_} {n}"))
        usage.look()
    sizes = [look.memory_bytes / 2**20 for look in usage.looks[4::5]]
    Console().print(
        f"memory of the console in {ROUNDS} rounds, each of {ROUND_SECONDS:.0f} s of reads and "
        f"{ROUND_CHANGES} changes to a new crowd of {LISTENERS}, after every fifth, in MiB: "
        + ", ".join(f"{size:.0f}" for size in sizes)
    )


@asynccontextmanager
async def _crowd(url: str, key: str) -> AsyncIterator["Crowd"]:
    crowd = Crowd()
    readers = [asyncio.create_task(crowd.hear(url, key)) for _ in range(LISTENERS)]
    await eventually(lambda: crowd.size == LISTENERS, "all listen")
    yield crowd
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


class Crowd:
    """Many who listen; each event is heard by all before the next one is said."""

    def __init__(self) -> None:
        self.size = 0
        self._missing = 0
        self._all = asyncio.Event()

    async def heard(self, saying: Awaitable[object]) -> None:
        """Return once what is being said was heard by all."""
        self._missing = self.size
        self._all.clear()
        await saying
        await self._all.wait()

    async def hear(self, url: str, key: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
        writer.write(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nSTATSIG-API-KEY: {key}\r\n\r\n".encode())
        await reader.readuntil(b"retry: 1000\n\n")
        self.size += 1
        try:
            async for line in reader:
                if line.startswith(b"event: feature"):
                    self._missing -= 1
                    if not self._missing:
                        self._all.set()
        finally:
            writer.close()


@asynccontextmanager
async def _bare() -> AsyncIterator[tuple[str, Callable[[int], Awaitable[None]]]]:
    """Serve sockets that all get the same bytes, in this process."""
    writers: list[asyncio.StreamWriter] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nretry: 1000\n\n")
        writers.append(writer)

    async def say(n: int) -> None:
        for writer in writers:
            writer.write(b"event: feature\ndata: {}\n\n")

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", say
