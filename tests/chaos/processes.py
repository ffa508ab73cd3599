"""A program on a host, started again whenever it ends; faults kill, freeze and stop it."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx2

from services.local.broker import die_with_parent
from sluiceway.tasks import cancel_and_wait

from .history import ProcessEnd, now_ms
from .hosts import Host

ROOT = Path(__file__).parents[2]
#: What a supervisor waits before it starts a process again.
RESTART_SECONDS = 0.5
#: A process that was asked to stop is killed after this.
STOP_SECONDS = 15.0
#: For one answer of a health page.
ANSWER_SECONDS = 4.0


class HostProcess:
    """A process that is supervised, as systemd or a kubelet does."""

    def __init__(
        self,
        name: str,
        host: Host,
        argv: tuple[str, ...],
        *,
        health: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
        on_end: Callable[[ProcessEnd], None],
    ) -> None:
        """`health`: the URL that answers 200 while the process is ready."""
        self.name = name
        self.host = host
        self.health = health
        #: How often it was started.
        self.life = 0
        self._argv = (*host.entering, *argv)
        self._environment = dict(environment or {})
        self.log = log
        self._on_end = on_end
        self._process: Process | None = None
        self._supervising: asyncio.Task[None] | None = None
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._is_end_expected = False
        self._is_frozen = False

    @property
    def is_running(self) -> bool:
        """Whether it can do anything: it was not told to end, has not ended, and is not frozen."""
        is_alive = self._process is not None and self._process.returncode is None
        return is_alive and self._may_run.is_set() and not self._is_frozen

    async def start(self) -> None:
        """Start it, and start it again whenever it ends, until `close`."""
        await self._spawn()
        self._supervising = asyncio.create_task(self._supervise(), name=f"supervise {self.name}")

    async def close(self) -> None:
        """Stop it for good."""
        if self._supervising:
            await cancel_and_wait(self._supervising)
        self.thaw()
        await self._end(signal.SIGTERM)

    async def take_down(self, number: signal.Signals, bound: float = STOP_SECONDS) -> None:
        """End it by a signal, within `bound` seconds or else by SIGKILL; it stays down until `let_run`."""
        self._may_run.clear()
        self._is_end_expected = True
        await self._end(number, bound)

    def let_run(self) -> None:
        """Start it again if `take_down` has ended it."""
        self._may_run.set()

    def freeze(self) -> None:
        """Let it do nothing, its connections open, until `thaw`."""
        self._is_frozen = True
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._is_frozen = False
        self._signal(signal.SIGCONT)

    async def ask(self, http: httpx2.AsyncClient, timeout: float = ANSWER_SECONDS) -> str | None:
        """Return why it is not ready; None if it is."""
        try:
            answer = await http.get(self.health, timeout=timeout)
        except httpx2.HTTPError as error:
            return f"no answer ({type(error).__name__})"
        return None if answer.status_code == 200 else answer.text

    async def _end(self, number: signal.Signals, bound: float = STOP_SECONDS) -> None:
        if self._process is None:
            return
        self._signal(number)
        try:
            async with asyncio.timeout(bound):
                await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _supervise(self) -> None:
        while self._process:
            code = await self._process.wait()
            self._on_end(
                ProcessEnd(process=self.name, time_ms=now_ms(), code=code, is_expected=self._forget())
            )
            await asyncio.sleep(RESTART_SECONDS)
            await self._may_run.wait()
            await self._spawn()

    def _forget(self) -> bool:
        """Return whether the end of the process was expected; the next one is not."""
        is_expected, self._is_end_expected = self._is_end_expected, False
        return is_expected

    async def _spawn(self) -> None:
        self.life += 1
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
