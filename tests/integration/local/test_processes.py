"""A process under watch: started again or not, and ended for certain. Stand-ins take a service's place."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.local import processes
from services.local.processes import Ended, ManagedProcess, ProcessSpec
from tests.support.local import ROOT, is_running
from tests.support.waiting import eventually

URL = "http://127.0.0.1:1"
ANNOUNCE = f"import os, signal; open(os.environ['SLUICEWAY_HTTP_ANNOUNCE'], 'w').write({URL!r});"
LASTING = f"{ANNOUNCE} signal.pause()"
DEAF = (
    f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {ANNOUNCE} [signal.pause() for _ in 'xx']"
)
SILENT = "import signal; signal.pause()"
BROKEN = "print('out of order'); raise SystemExit(3)"
SUPERVISOR = """
import asyncio, pathlib, sys
from services.local.processes import ManagedProcess, ProcessSpec
async def main():
    data_dir = pathlib.Path(sys.argv[1])
    spec = ProcessSpec("stand-in", (sys.executable, "-c", sys.argv[2]), {}, data_dir)
    ignore = lambda *_: None
    process = ManagedProcess(spec, data_dir, restart=True, on_change=ignore, on_ended=ignore)
    await process.start()
    print(process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class Watched:
    """A process, and what its watcher told."""

    def __init__(self, data_dir: Path, code: str, *, restart: bool) -> None:
        self.ends: list[Ended] = []
        self.changes = 0
        self.process = ManagedProcess(
            ProcessSpec("stand-in", (sys.executable, "-c", code), {}, data_dir),
            data_dir,
            restart=restart,
            on_change=self._note_change,
            on_ended=self.ends.append,
        )

    def kill(self) -> int:
        """`kill -9` what runs; return its pid."""
        pid = self.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    async def announced(self) -> None:
        await eventually(lambda: self.process.http, "it has said where its pages are")

    def _note_change(self) -> None:
        self.changes += 1


@asynccontextmanager
async def watched(data_dir: Path, code: str, *, restart: bool = True) -> AsyncIterator[Watched]:
    """Run a stand-in under watch while the block does."""
    stand_in = Watched(data_dir, code, restart=restart)
    await stand_in.process.start()
    try:
        yield stand_in
    finally:
        await stand_in.process.stop()


async def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    async with watched(tmp_path, LASTING) as stand_in:
        await stand_in.announced()

        old = stand_in.kill()

        await eventually(lambda: stand_in.process.pid not in (None, old), "it runs again")
        await stand_in.announced()
        assert stand_in.ends == [Ended("stand-in", -signal.SIGKILL, 0.1, stand_in.process.log)]


async def test_a_process_that_keeps_dying_waits_twice_as_long_each_time(tmp_path: Path) -> None:
    async with watched(tmp_path, BROKEN) as stand_in:
        await eventually(lambda: len(stand_in.ends) >= 3, "it has died three times")

        assert [end.again_in_seconds for end in stand_in.ends[:3]] == [0.1, 0.2, 0.4]
        assert {end.code for end in stand_in.ends} == {3}
        assert "out of order" in stand_in.process.log.read_text()


async def test_the_wait_never_exceeds_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "RESTART_MAX_SECONDS", 0.2)
    async with watched(tmp_path, BROKEN) as stand_in:
        await eventually(lambda: len(stand_in.ends) >= 4, "it has died four times")

        assert [end.again_in_seconds for end in stand_in.ends[:4]] == [0.1, 0.2, 0.2, 0.2]


async def test_a_process_that_had_stayed_up_begins_with_the_shortest_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STAYED_UP_SECONDS", 0.0)
    async with watched(tmp_path, BROKEN) as stand_in:
        await eventually(lambda: len(stand_in.ends) >= 3, "it has died three times")

        assert [end.again_in_seconds for end in stand_in.ends[:3]] == [0.1, 0.1, 0.1]


async def test_without_restart_a_dead_process_stays_dead(tmp_path: Path) -> None:
    async with watched(tmp_path, LASTING, restart=False) as stand_in:
        await stand_in.announced()

        stand_in.kill()

        await eventually(lambda: stand_in.ends, "its death is told")
        assert stand_in.ends[0].again_in_seconds is None
        assert (stand_in.process.pid, stand_in.process.http) == (None, None)


async def test_a_stopped_process_is_gone_and_not_started_again(tmp_path: Path) -> None:
    async with watched(tmp_path, LASTING) as stand_in:
        await stand_in.announced()
        pid = stand_in.process.pid
        assert pid is not None

    assert not is_running(pid)
    assert (stand_in.process.pid, stand_in.process.http, stand_in.ends) == (None, None, [])


async def test_a_process_can_be_stopped_before_it_announced_anything(tmp_path: Path) -> None:
    async with watched(tmp_path, SILENT) as stand_in:
        pid = stand_in.process.pid
        assert pid is not None

    assert not is_running(pid)


async def test_a_process_that_waits_for_its_restart_is_not_started_after_a_stop(tmp_path: Path) -> None:
    async with watched(tmp_path, BROKEN) as stand_in:
        await eventually(lambda: stand_in.ends, "it has died")
        starts = stand_in.changes

    assert stand_in.process.pid is None
    assert stand_in.changes == starts


async def test_a_process_that_is_deaf_to_its_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    async with watched(tmp_path, DEAF) as stand_in:
        await stand_in.announced()
        pid = stand_in.process.pid
        assert pid is not None

    assert not is_running(pid)


async def test_the_url_of_an_earlier_life_is_not_taken_for_this_one(tmp_path: Path) -> None:
    stale = tmp_path / "run" / "stand-in.url"
    stale.parent.mkdir()
    stale.write_text("http://127.0.0.1:2")

    async with watched(tmp_path, LASTING) as stand_in:
        await stand_in.announced()

        assert stand_in.process.http == URL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_a_process_ends_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, str(tmp_path), SILENT), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout
    pid = int(await supervisor.stdout.readline())

    supervisor.kill()
    await supervisor.wait()

    await eventually(lambda: not is_running(pid), "the process has ended")
