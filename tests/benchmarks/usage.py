"""What a process takes of its host, looked at once a second; Linux only."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sluiceway.tasks import cancel_and_wait

LOOK_EVERY_SECONDS = 1.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Look(NamedTuple):
    """One look at a process; both times in seconds, the second one of a core."""

    at: float
    computed: float
    memory_bytes: int


def peak_memory_bytes(pid: int) -> int:
    """Return the most memory that a process has ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@dataclass
class Usage:
    """Looks at one process, oldest first."""

    pid: int
    looks: list[Look] = field(default_factory=list)

    def look(self) -> None:
        process = Path(f"/proc/{self.pid}")
        # Fields 14 and 15 of proc_pid_stat(5); the name before them may hold blanks.
        user, system = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
        pages = int((process / "statm").read_text().split()[1])
        computed = (int(user) + int(system)) / TICKS_PER_SECOND
        self.looks.append(Look(time.monotonic(), computed, pages * PAGE_BYTES))

    @property
    def computed_seconds(self) -> float:
        """How long it computed from the first look to the last."""
        return self.looks[-1].computed - self.looks[0].computed

    def cores(self, part: slice = slice(None)) -> float:
        """Return how many cores it took on average, over a part of the looks."""
        first, *_, last = self.looks[part]
        return (last.computed - first.computed) / (last.at - first.at)

    def memory_bytes(self, part: slice = slice(None)) -> float:
        """Return its memory on average, over a part of the looks."""
        looks = self.looks[part]
        return sum(look.memory_bytes for look in looks) / len(looks)

    @property
    def first_third(self) -> slice:
        return slice(None, len(self.looks) // 3)

    @property
    def last_third(self) -> slice:
        return slice(-(len(self.looks) // 3), None)


@dataclass
class Computed:
    """How long processes have computed, by name, for so many operations."""

    pids: Mapping[str, int]
    operations: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what is computed while the block runs."""
        usages = {name: Usage(pid) for name, pid in self.pids.items()}
        for usage in usages.values():
            usage.look()
        yield
        for name, usage in usages.items():
            usage.look()
            self.seconds[name] += usage.computed_seconds

    def milliseconds(self, name: str) -> float:
        """Return how long a process has computed per operation, on average."""
        return self.seconds[name] * 1_000 / self.operations


@asynccontextmanager
async def used_by(pid: int) -> AsyncIterator[Usage]:
    """Look at a process while the block runs."""
    usage = Usage(pid)
    watching = asyncio.create_task(_watch(usage))
    try:
        yield usage
    finally:
        await cancel_and_wait(watching)


async def _watch(usage: Usage) -> None:
    while True:
        usage.look()
        await asyncio.sleep(LOOK_EVERY_SECONDS)
