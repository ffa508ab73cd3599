"""A service as a child process, restarted with backoff when it ends."""

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

#: The delay before a restart. It doubles each time, until the process has run for `STABLE_SECONDS`.
RESTART_FIRST_SECONDS = 0.1
RESTART_MAX_SECONDS = 5.0
STABLE_SECONDS = 10.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02


class ProcessSpec(NamedTuple):
    """How to start a process."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path


class ProcessExit(NamedTuple):
    """How a process ended, and in how many seconds it is restarted; None if it is not."""

    name: str
    code: int
    restart_in_seconds: float | None
    log: Path


class ManagedProcess:
    """A child process that is restarted, with the same port, when it ends. `stop` kills it if it must."""

    def __init__(
        self,
        spec: ProcessSpec,
        data_dir: Path,
        *,
        restart: bool,
        on_change: Callable[[], None],
        on_exit: Callable[[ProcessExit], None],
    ) -> None:
        self.spec = spec
        self.log = data_dir / "logs" / f"{spec.name}.log"
        self.http: str | None = None
        self._url_file = data_dir / "run" / f"{spec.name}.url"
        #: Stays the same from the first start on, since SDKs and Alertmanagers connect to it.
        self._port: int | None = None
        self._restart = restart
        self._on_change = on_change
        self._on_exit = on_exit
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process; None if it is not running."""
        running = self._process and self._process.returncode is None
        return self._process.pid if self._process and running else None

    async def start(self) -> None:
        """Start the process, and restart it whenever it ends."""
        for file in (self.log, self._url_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        await self._spawn()
        self._task = asyncio.create_task(self._supervise(), name=f"supervise {self.spec.name}")

    async def stop(self) -> None:
        """Stop the process: gracefully, or with SIGKILL after `STOP_SECONDS`. It is not restarted."""
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

    async def _supervise(self) -> None:
        delay = RESTART_FIRST_SECONDS
        while self._process:
            started = asyncio.get_running_loop().time()
            await self._read_url(self._process)
            code = await self._process.wait()
            if asyncio.get_running_loop().time() - started > STABLE_SECONDS:
                delay = RESTART_FIRST_SECONDS
            self.http = None
            self._on_change()
            self._on_exit(ProcessExit(self.spec.name, code, delay if self._restart else None, self.log))
            if not self._restart:
                return
            await asyncio.sleep(delay)
            delay = min(2 * delay, RESTART_MAX_SECONDS)
            await self._spawn()

    async def _spawn(self) -> None:
        self._url_file.unlink(missing_ok=True)
        environment = {**self.spec.environment, "SLUICEWAY_HTTP_ANNOUNCE": str(self._url_file)}
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

    async def _read_url(self, process: Process) -> None:
        """Wait until the process has written the URL of its HTTP server, or has ended."""
        while process.returncode is None and not self._url_file.exists():  # noqa: ASYNC110 (a file)
            await asyncio.sleep(POLL_SECONDS)
        if process.returncode is None:
            self.http = self._url_file.read_text()
            self._port = urlsplit(self.http).port
            self._on_change()
