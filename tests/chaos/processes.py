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
        #: The signal that is to end it, and whether it had to be killed.
        self._ending: signal.Signals | None = None
        self._is_stuck = False
        self._is_frozen = False
        #: How often it was started, told to end, frozen or thawed.
        self.disturbances = 0

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
        if self._process and self._process.returncode is None:
            await self._end(signal.SIGTERM, STOP_SECONDS)
            self._record_end(self._process)

    async def take_down(self, number: signal.Signals, bound: float = STOP_SECONDS) -> None:
        """End it by a signal, within `bound` seconds or else by SIGKILL; it stays down until `let_run`."""
        self._may_run.clear()
        await self._end(number, bound)

    def let_run(self) -> None:
        """Start it again if `take_down` has ended it."""
        self._may_run.set()

    def freeze(self) -> None:
        """Let it do nothing, its connections open, until `thaw`."""
        self._is_frozen = True
        self.disturbances += 1
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._is_frozen = False
        self.disturbances += 1
        self._signal(signal.SIGCONT)

    async def ask(self, http: httpx2.AsyncClient, timeout: float = ANSWER_SECONDS) -> str | None:
        """Return why it is not ready; None if it is."""
        try:
            answer = await http.get(self.health, timeout=timeout)
        except httpx2.HTTPError as error:
            return f"no answer ({type(error).__name__})"
        return None if answer.status_code == 200 else answer.text

    async def _end(self, number: signal.Signals, bound: float) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._ending = number
        self.disturbances += 1
        self._signal(number)
        try:
            async with asyncio.timeout(bound):
                await self._process.wait()
        except TimeoutError:
            self._is_stuck = True
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _supervise(self) -> None:
        while self._process:
            await self._process.wait()
            self._record_end(self._process)
            await asyncio.sleep(RESTART_SECONDS)
            await self._may_run.wait()
            await self._spawn()

    def _record_end(self, process: Process) -> None:
        """Record how it ended; nothing is expected of the next end."""
        end = ProcessEnd(
            process=self.name,
            time_ms=now_ms(),
            code=process.returncode or 0,
            signal=self._ending.name if self._ending else None,
            is_stuck=self._is_stuck,
        )
        self._ending, self._is_stuck = None, False
        self._on_end(end)

    async def _spawn(self) -> None:
        self.life += 1
        self.disturbances += 1
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
