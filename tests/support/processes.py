"""One service as a process of its own, with its health pages."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from .http import http_client
from .waiting import eventually

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 15.0


class ServiceProcess(NamedTuple):
    """A running service: its process, its URL, and the file that holds its log."""

    process: asyncio.subprocess.Process
    http: httpx2.AsyncClient
    log: Path

    async def missing(self) -> dict[str, str] | None:
        """Return what `/readyz` says is missing; None if nothing answers."""
        try:
            answer = await self.http.get("/readyz")
        except httpx2.HTTPError:
            return None
        missing: dict[str, str] = answer.json()["missing"]
        assert answer.status_code == (503 if missing else 200)
        return missing

    async def is_ready(self) -> bool:
        return await self.missing() == {}

    async def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        text = (await self.http.get("/metrics")).text
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])


@asynccontextmanager
async def service_process(
    folder: Path, module: str, nats_url: str, *launcher: str, **environment: str
) -> AsyncIterator[ServiceProcess]:
    """Run a service until the block ends; `launcher`: a module that runs it, and the module's arguments."""
    name = module.rpartition(".")[2]
    announced, log = folder / f"{name}.url", folder / f"{name}.log"
    settings: dict[str, Any] = {"NATS_URL": nats_url, "HTTP_ANNOUNCE": announced, **environment}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *launcher, module),
            cwd=ROOT,
            env={**os.environ, **{f"SLUICEWAY_{key}": str(value) for key, value in settings.items()}},
            stdout=output,
            stderr=output,
        )
    try:
        await eventually(announced.exists, f"{name} serves its health pages: {log.read_text()}")
        async with http_client(base_url=announced.read_text()) as http:
            yield ServiceProcess(process, http, log)
    finally:
        announced.unlink(missing_ok=True)
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
