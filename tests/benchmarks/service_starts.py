"""How long a service takes until it is ready, at first and again, and what it takes then."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from .measure import Samples, timed
from .processes import started
from .usage import Usage, peak_memory_bytes

#: The first start of a publisher writes rules for everything.
START_SECONDS_MAX = 900.0
SCRAPES = 5


@dataclass(frozen=True)
class RunningService:
    """A service that is ready."""

    name: str
    url: str
    pid: int
    ready_seconds: float
    #: Of these, how long it computed.
    computed_seconds: float

    @property
    def ready(self) -> str:
        return f"{self.ready_seconds:.1f} s (CPU {self.computed_seconds:.1f})"

    @property
    def usage(self) -> Usage:
        """Its use of the host, with a first look."""
        usage = Usage(self.pid)
        usage.look()
        return usage

    @property
    def memory(self) -> str:
        now, peak = self.usage.looks[0].memory_bytes, peak_memory_bytes(self.pid)
        return f"{now / 2**20:.0f} / {peak / 2**20:.0f} MiB"


@asynccontextmanager
async def started_service(name: str, url: str, folder: Path) -> AsyncIterator[RunningService]:
    """Run a service until the block ends; `folder` must be new."""
    begin = time.perf_counter()
    async with started(url, folder, name, within_seconds=START_SECONDS_MAX) as processes:
        seconds, pid = time.perf_counter() - begin, processes[name].pid
        usage = Usage(pid)
        usage.look()
        computed = usage.looks[0].computed
        yield RunningService(name, (folder / f"{name}.url").read_text(), pid, seconds, computed)


async def scrapes(service: RunningService) -> Samples:
    """Return how long `/metrics` takes."""
    samples = Samples()
    async with httpx2.AsyncClient(base_url=service.url, trust_env=False, timeout=60) as client:
        for _ in range(SCRAPES):
            await timed(samples, lambda: client.get("/metrics"))
    return samples
