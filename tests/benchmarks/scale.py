"""`python -m tests.benchmarks.scale`: what the services take with many active triggers.

They are written straight into FEATURES. Every service is a process of its own; each starts twice, and is
looked at after the second start.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.local.broker import EmbeddedBroker
from tests.support.system import Driver, driving

from .active_triggers import REGIONS, active_triggers, catalogue
from .catalogue import write_catalogue
from .complete_sets import CompleteSets
from .event_writer import append_events
from .hops import measure_hops
from .lateness import Lateness, burst, spread
from .measure import Samples
from .overview import measure_overview
from .service_starts import RunningService, scrapes, started_service

FEATURES = (1_000, 10_000, 100_000)
SERVICES = ("scheduler", "evaluator_publisher", "monitor", "console")
RELEASING = SERVICES[:3]
#: What is measured → the services that run. A console has a scheduler store its first key.
PARTS = {
    **{name: (name,) for name in RELEASING},
    "console": ("scheduler", "console"),
    "hops": RELEASING,
    "overview": ("scheduler", "console"),
    "lateness": RELEASING,
}


@dataclass
class Column:
    """What was measured with so many active triggers."""

    features: int
    figures: dict[str, str] = field(default_factory=dict)


class Scale:
    """Measures `parts` with so many active triggers, on a broker of its own."""

    def __init__(self, features: int, parts: Sequence[str], folder: Path) -> None:
        self.column = Column(features)
        self._parts = parts
        self._folder = folder
        self._key_file = folder / "console.key"
        self._services: dict[str, RunningService] = {}

    async def run(self) -> None:
        os.environ["SLUICEWAY_BOOTSTRAP_KEY_FILE"] = str(self._key_file)
        with EmbeddedBroker(self._folder / "broker") as broker:
            self._url, self._broker_pid = broker.url, broker.pid or 0
            async with driving(broker.url) as driver, AsyncExitStack() as stack:
                await self._fill(driver)
                for name in SERVICES:
                    if any(name in PARTS[part] for part in self._parts):
                        await self._start(name, driver, stack)
                await self._use(driver)

    async def _fill(self, driver: Driver) -> None:
        await write_catalogue(driver.connection, catalogue())
        names = [f"gate-{n}" for n in range(self.column.features)]
        begin = time.perf_counter()
        await append_events(driver.connection, active_triggers(names))
        self._note("written in", f"{time.perf_counter() - begin:.1f} s")

    async def _start(self, name: str, driver: Driver, stack: AsyncExitStack) -> None:
        """Start a service, twice if it is measured, and keep it running."""
        is_measured = name in self._parts
        if is_measured:
            async with AsyncExitStack() as first:
                await self._start_once(name, "first start", driver, first)
        service = await self._start_once(name, "again", driver, stack)
        self._services[name] = service
        if is_measured:
            self._note(f"{name}: RSS / peak", service.memory)
            self._note(f"{name}: scrape", _p50_p99(await scrapes(service)))

    async def _start_once(
        self, name: str, which: str, driver: Driver, stack: AsyncExitStack
    ) -> RunningService:
        """Start a service; note when it is ready, and a publisher when everything is published."""
        sets = CompleteSets(driver.connection, (region.name for region in REGIONS))
        before, begin = await sets.newest(), time.perf_counter()
        folder = self._folder / which.replace(" ", "-")
        service = await stack.enter_async_context(started_service(name, self._url, folder))
        is_measured = name in self._parts
        if is_measured:
            self._note(f"{name}: ready, {which}", service.ready)
        if name == "evaluator_publisher":
            await sets.renewed(after=before)
            seconds, computed = time.perf_counter() - begin, service.usage.looks[0].computed
            if is_measured:
                self._note(f"{name}: all is published, {which}", f"{seconds:.1f} s (CPU {computed:.1f})")
        return service

    async def _use(self, driver: Driver) -> None:
        if "hops" in self._parts:
            hops = await measure_hops(driver)
            self._note("pause", _p50_p99(hops.pause))
            self._note("save a gate", _p50_p99(hops.save))
            self._note("alert of a gate → roll-back stored", _p50_p99(hops.alert_of_gate))
            self._note("alert by label → roll-back stored", _p50_p99(hops.alert_of_label))
        if "overview" in self._parts:
            loads = await measure_overview(self._services["console"].url, self._key_file.read_text())
            self._note("overview of the console", _p50_p99(loads))
        if "lateness" in self._parts:
            pids = {"broker": self._broker_pid, **{name: self._services[name].pid for name in RELEASING}}
            self._note_late("100 due a second", await spread(driver, pids))
            self._note_late("1,000 due in an instant", await burst(driver, pids))

    def _note_late(self, what: str, lateness: Lateness) -> None:
        self._note(f"{what}: late, p50 / p99 / latest", _quantiles(lateness.late, 0.5, 0.99, 1))
        for name in lateness.computed.pids:
            self._note(f"{what}: CPU of {name} each", f"{lateness.computed.milliseconds(name):.2f} ms")

    def _note(self, what: str, figure: str) -> None:
        print(f"{self.column.features:>9,}  {what}: {figure}", flush=True)
        self.column.figures[what] = figure


def _p50_p99(samples: Samples) -> str:
    return _quantiles(samples, 0.5, 0.99)


def _quantiles(samples: Samples, *shares: float) -> str:
    return " / ".join(f"{samples.quantile(share):,.1f}" for share in shares) + " ms"


def show(columns: Sequence[Column]) -> None:
    """Print what was measured, a column for each number of triggers."""
    table = Table("active triggers", title="Times: p50 / p99", title_justify="left")
    for column in columns:
        table.add_column(f"{column.features:,}", justify="right")
    for what in columns[0].figures:
        table.add_row(what, *(column.figures.get(what, "") for column in columns))
    Console(width=140).print("\n", table)


async def measure(features: Sequence[int], parts: Sequence[str]) -> list[Column]:
    """Measure with each number of active triggers."""
    columns = []
    for count in features:
        with tempfile.TemporaryDirectory(prefix="sluiceway-scale-") as folder:
            scale = Scale(count, parts, Path(folder))
            await scale.run()
            columns.append(scale.column)
    return columns


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument(
        "--features", type=int, nargs="+", default=FEATURES, help="numbers of active triggers"
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=tuple(PARTS), help="measure these alone")
    options = parser.parse_args()
    show(asyncio.run(measure(options.features, options.only)))


if __name__ == "__main__":
    main()
