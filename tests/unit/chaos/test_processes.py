"""Processes are ended by signals, and how they end is recorded."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.chaos.history import ProcessEnd
from tests.chaos.hosts import Host
from tests.chaos.processes import HostProcess
from tests.support.waiting import eventually

STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
)
MEEK = "import signal; print('up', flush=True); signal.pause()"
ENDING = "print('up', flush=True); raise SystemExit(3)"


class Here(Host):
    """This host, as it is."""

    @property
    def entering(self) -> tuple[str, ...]:
        return ()


class Supervised:
    """A process that runs some Python, and its ends."""

    def __init__(self, log: Path, source: str) -> None:
        self.ends: list[ProcessEnd] = []
        argv = (sys.executable, "-c", source)
        self.process = HostProcess("it", Here(1, "here"), argv, health="", log=log, on_end=self.ends.append)
        self._log = log

    @property
    def starts(self) -> int:
        return self._log.read_text().count("up") if self._log.exists() else 0

    async def is_up(self, starts: int = 1) -> None:
        await eventually(lambda: self.starts >= starts, f"it was started {starts} times")


async def test_a_process_that_does_not_stop_is_killed_and_recorded_as_stuck(tmp_path: Path) -> None:
    async with supervised(tmp_path, STUBBORN) as it:
        await it.process.take_down(signal.SIGTERM, bound=0.2)
        await eventually(lambda: it.ends, "its end is recorded")

        assert (it.ends[0].signal, it.ends[0].is_stuck, it.ends[0].code) == ("SIGTERM", True, -9)


async def test_a_process_that_was_killed_is_started_again_and_that_was_expected(tmp_path: Path) -> None:
    async with supervised(tmp_path, MEEK) as it:
        disturbances = it.process.disturbances
        await it.process.take_down(signal.SIGKILL)
        it.process.let_run()
        await it.is_up(starts=2)

        assert (it.ends[0].signal, it.ends[0].is_stuck) == ("SIGKILL", False)
        assert it.process.disturbances > disturbances


async def test_a_process_that_ends_by_itself_is_recorded_without_a_signal(tmp_path: Path) -> None:
    async with supervised(tmp_path, ENDING) as it:
        await it.is_up(starts=2)

        assert (it.ends[0].signal, it.ends[0].code) == (None, 3)


async def test_the_end_of_a_process_at_the_end_of_the_run_is_recorded(tmp_path: Path) -> None:
    async with supervised(tmp_path, MEEK) as it:
        pass

    assert [end.signal for end in it.ends] == ["SIGTERM"]


async def test_to_freeze_and_to_thaw_a_process_disturbs_it(tmp_path: Path) -> None:
    async with supervised(tmp_path, MEEK) as it:
        disturbances = it.process.disturbances
        it.process.freeze()
        frozen = it.process.is_running
        it.process.thaw()

        assert not frozen
        assert it.process.is_running
        assert it.process.disturbances == disturbances + 2


@asynccontextmanager
async def supervised(folder: Path, source: str) -> AsyncIterator[Supervised]:
    """Run some Python while the block runs."""
    it = Supervised(folder / "log", source)
    await it.process.start()
    try:
        await it.is_up()
        yield it
    finally:
        await it.process.close()
