"""`python -m services.local up` as a user starts it: every service is a process that can be killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from .catalogues import REGIONS
from .waiting import eventually

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class LocalSystem:
    """A running system, seen through its `system.json` and its output."""

    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path) -> None:
        self._process = process
        self._data_dir = data_dir
        self.output: list[str] = []

    @property
    def nats_url(self) -> str:
        return str(self.state()["nats_url"])

    def state(self) -> dict[str, Any]:
        return dict(json.loads((self._data_dir / "system.json").read_text()))

    def processes(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self.state()["processes"])

    def kill(self, name: str) -> bool:
        """Kill a process, as `kill -9` does; return whether it was running."""
        pid = self.processes().get(name, {}).get("pid")
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    async def read_output(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self.output.append(line.decode().rstrip())

    def is_ready(self) -> bool:
        assert self._process.returncode is None, self.output
        return any(line.startswith("ready:") for line in self.output)

    async def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it, as Ctrl-C does; return its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            return await self._process.wait()


@asynccontextmanager
async def local_system(data_dir: Path, *arguments: str, **environment: str) -> AsyncIterator[LocalSystem]:
    """Run `up` until the block ends; every service gets the environment too."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.local", "up", "--data-dir", str(data_dir), *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    system = LocalSystem(process, data_dir)
    reading = asyncio.create_task(system.read_output())
    try:
        await eventually(system.is_ready, "the system is ready", START_SECONDS)
        yield system
    finally:
        await system.stop()
        await reading


def edges_of(*regions: str) -> list[str]:
    """Return the arguments with which `up` starts no other edges than those of these regions."""
    return [word for name in REGIONS if name not in regions for word in ("--scale", f"edge-{name}=0")]


def is_running(pid: int) -> bool:
    """Return whether a process is running; one that has ended and is a zombie is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
