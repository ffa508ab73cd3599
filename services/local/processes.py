"""One service as a process of its own, started again with backoff when it dies."""

import asyncio
import contextlib
import os
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from sluiceway.tasks import cancel_and_wait

from .broker import die_with_parent

#: Before a process that died is started again; doubles each time, until it has stayed up.
RESTART_FIRST_SECONDS = 0.1
RESTART_MAX_SECONDS = 5.0
STAYED_UP_SECONDS = 10.0
STOP_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.02


class ProcessSpec(NamedTuple):
    """How to start a process."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path


class Ended(NamedTuple):
    """How a process ended, and when it starts again; None: it does not."""

    name: str
    code: int
    again_in_seconds: float | None
    log: Path


class ManagedProcess:
    """A child process: started, watched, started again where it was, and stopped for certain."""

    def __init__(
        self,
        spec: ProcessSpec,
        data_dir: Path,
        *,
        restart: bool,
        on_change: Callable[[], None],
        on_ended: Callable[[Ended], None],
    ) -> None:
        self.spec = spec
        self.log = data_dir / "logs" / f"{spec.name}.log"
        self.http: str | None = None
        self._announced = data_dir / "run" / f"{spec.name}.url"
        #: Where SDKs and Alertmanagers look for it from its first start on.
        self._port: int | None = None
        self._restart = restart
        self._on_change = on_change
        self._on_ended = on_ended
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs; None where none does."""
        running = self._process and self._process.returncode is None
        return self._process.pid if self._process and running else None

    async def start(self) -> None:
        """Start the process, and keep watch."""
        for file in (self.log, self._announced):
            file.parent.mkdir(parents=True, exist_ok=True)
        await self._spawn()
        self._task = asyncio.create_task(self._watch(), name=f"watch {self.spec.name}")

    async def stop(self) -> None:
        """End the process in order, or else at once; it is not started again."""
        if self._task:
            await cancel_and_wait(self._task)
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self.http = None

    async def _watch(self) -> None:
        delay = RESTART_FIRST_SECONDS
        while self._process:
            begun = asyncio.get_running_loop().time()
            await self._read_announcement(self._process)
            code = await self._process.wait()
            if asyncio.get_running_loop().time() - begun > STAYED_UP_SECONDS:
                delay = RESTART_FIRST_SECONDS
            self.http = None
            self._on_change()
            self._on_ended(Ended(self.spec.name, code, delay if self._restart else None, self.log))
            if not self._restart:
                return
            await asyncio.sleep(delay)
            delay = min(2 * delay, RESTART_MAX_SECONDS)
            await self._spawn()

    async def _spawn(self) -> None:
        self._announced.unlink(missing_ok=True)
        environment = {**self.spec.environment, "SLUICEWAY_HTTP_ANNOUNCE": str(self._announced)}
        if self._port:
            environment["SLUICEWAY_HTTP_PORT"] = str(self._port)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                cwd=self.spec.directory,
                env={**os.environ, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._on_change()

    async def _read_announcement(self, process: Process) -> None:
        """Wait until the process has said where its pages are, or has ended."""
        while process.returncode is None and not self._announced.exists():  # noqa: ASYNC110 (a file)
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        if process.returncode is None:
            self.http = self._announced.read_text()
            self._port = urlsplit(self.http).port
            self._on_change()
