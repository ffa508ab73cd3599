"""The services as processes of their own, as in production; the benchmark is another."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
START_SECONDS = 20.0
#: A program of ours may connect a thousand regions first.
PROGRAM_START_SECONDS = 120.0


@asynccontextmanager
async def started(
    url: str,
    logs: Path,
    *names: str,
    within_seconds: float = START_SECONDS,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Mapping[str, asyncio.subprocess.Process]]:
    """Run `python -m services.<name>` for each name, until the block ends; one may be killed before.

    `settings`: more of the environment, for all of them.
    """
    logs.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 (before anything runs)
    processes = {name: await _start(name, url, logs, settings) for name in names}
    try:
        for name in names:
            await _ready(logs / f"{name}.url", within_seconds)
        yield processes
    finally:
        for process in processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in processes.values():
            await process.wait()


@dataclass(frozen=True)
class Program:
    """A module of the benchmark that runs, the lines that it says, and those that it is told."""

    process: asyncio.subprocess.Process

    async def line(self, timeout_seconds: float = START_SECONDS) -> Sequence[str]:
        """Return the words of the next line; fails if none comes in time."""
        assert self.process.stdout
        async with asyncio.timeout(timeout_seconds):
            line = await self.process.stdout.readline()
        assert line, "the process has ended"
        return line.decode().split()

    def tell(self, *words: str) -> None:
        """Write a line to it."""
        assert self.process.stdin
        self.process.stdin.write((" ".join(words) + "\n").encode())


@asynccontextmanager
async def program(name: str, *arguments: object) -> AsyncIterator[Program]:
    """Run `python -m tests.benchmarks.<name>` until the block ends; its first line says that it is ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.benchmarks.{name}", *map(str, arguments)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        running = Program(process)
        await running.line(PROGRAM_START_SECONDS)
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _start(name: str, url: str, logs: Path, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        **settings,
        "SLUICEWAY_NATS_URL": url,
        "SLUICEWAY_HTTP_ANNOUNCE": str(logs / f"{name}.url"),
        "SLUICEWAY_LOG_LEVEL": "WARNING",
    }
    with (logs / f"{name}.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"services.{name}", cwd=ROOT, env=environment, stdout=log, stderr=log
        )


async def _ready(announced: Path, within_seconds: float) -> None:
    async def look() -> bool:
        return announced.exists() and await _is_ready(announced.read_text())  # noqa: ASYNC240

    await eventually(look, f"{announced.stem} is ready", within_seconds)


async def _is_ready(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    status = await reader.readline()
    writer.close()
    return b" 200 " in status
