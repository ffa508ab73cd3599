"""A managed process: restarted or not, and always stopped. Small scripts stand in for a service."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.local import processes
from services.local.processes import ManagedProcess, ProcessExit, ProcessSpec
from tests.support.local import ROOT, is_running
from tests.support.waiting import eventually

URL = "http://127.0.0.1:1"
#: Writes the URL atomically, as a service does.
ANNOUNCE = (
    "import os, signal; file = os.environ['SLUICEWAY_HTTP_ANNOUNCE'];"
    f" open(file + '.new', 'w').write({URL!r}); os.replace(file + '.new', file);"
)
RUNNING = f"{ANNOUNCE} signal.pause()"
IGNORES_SIGTERM = (
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
    process = ManagedProcess(spec, data_dir, restart=True, on_change=ignore, on_exit=ignore)
    await process.start()
    print(process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class Supervised:
    """A managed process, its exits and the number of its changes."""

    def __init__(self, data_dir: Path, code: str, *, restart: bool) -> None:
        self.exits: list[ProcessExit] = []
        self.changes = 0
        self.process = ManagedProcess(
            ProcessSpec("stand-in", (sys.executable, "-c", code), {}, data_dir),
            data_dir,
            restart=restart,
            on_change=self._count_change,
            on_exit=self.exits.append,
        )

    def kill(self) -> int:
        """Kill the process, as `kill -9` does; return its id."""
        pid = self.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    async def announced(self) -> None:
        await eventually(lambda: self.process.http, "it has written its URL")

    def _count_change(self) -> None:
        self.changes += 1


@asynccontextmanager
async def supervised(data_dir: Path, code: str, *, restart: bool = True) -> AsyncIterator[Supervised]:
    """Run a stand-in while the block runs."""
    stand_in = Supervised(data_dir, code, restart=restart)
    await stand_in.process.start()
    try:
        yield stand_in
    finally:
        await stand_in.process.stop()


async def test_a_process_that_is_killed_is_restarted(tmp_path: Path) -> None:
    async with supervised(tmp_path, RUNNING) as stand_in:
        await stand_in.announced()

        old = stand_in.kill()

        await eventually(lambda: stand_in.process.pid not in (None, old), "it runs again")
        await stand_in.announced()
        assert stand_in.exits == [ProcessExit("stand-in", -signal.SIGKILL, 0.1, stand_in.process.log)]


async def test_a_process_that_keeps_failing_waits_twice_as_long_each_time(tmp_path: Path) -> None:
    async with supervised(tmp_path, BROKEN) as stand_in:
        await eventually(lambda: len(stand_in.exits) >= 3, "it has failed three times")

        assert [end.restart_in_seconds for end in stand_in.exits[:3]] == [0.1, 0.2, 0.4]
        assert {end.code for end in stand_in.exits} == {3}
        assert "out of order" in stand_in.process.log.read_text()


async def test_the_wait_never_exceeds_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "RESTART_MAX_SECONDS", 0.2)
    async with supervised(tmp_path, BROKEN) as stand_in:
        await eventually(lambda: len(stand_in.exits) >= 4, "it has failed four times")

        assert [end.restart_in_seconds for end in stand_in.exits[:4]] == [0.1, 0.2, 0.2, 0.2]


async def test_a_process_that_had_been_stable_restarts_after_the_shortest_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STABLE_SECONDS", 0.0)
    async with supervised(tmp_path, BROKEN) as stand_in:
        await eventually(lambda: len(stand_in.exits) >= 3, "it has failed three times")

        assert [end.restart_in_seconds for end in stand_in.exits[:3]] == [0.1, 0.1, 0.1]


async def test_without_restart_a_killed_process_is_not_restarted(tmp_path: Path) -> None:
    async with supervised(tmp_path, RUNNING, restart=False) as stand_in:
        await stand_in.announced()

        stand_in.kill()

        await eventually(lambda: stand_in.exits, "its exit is reported")
        assert stand_in.exits[0].restart_in_seconds is None
        assert (stand_in.process.pid, stand_in.process.http) == (None, None)


async def test_a_stopped_process_ends_and_is_not_restarted(tmp_path: Path) -> None:
    async with supervised(tmp_path, RUNNING) as stand_in:
        await stand_in.announced()
        pid = stand_in.process.pid
        assert pid is not None

    assert not is_running(pid)
    assert (stand_in.process.pid, stand_in.process.http, stand_in.exits) == (None, None, [])


async def test_a_process_can_be_stopped_before_it_has_written_its_url(tmp_path: Path) -> None:
    async with supervised(tmp_path, SILENT) as stand_in:
        pid = stand_in.process.pid
        assert pid is not None

    assert not is_running(pid)


async def test_a_process_that_waits_for_its_restart_is_not_started_after_a_stop(tmp_path: Path) -> None:
    async with supervised(tmp_path, BROKEN) as stand_in:
        await eventually(lambda: stand_in.exits, "it has failed")
        starts = stand_in.changes

    assert stand_in.process.pid is None
    assert stand_in.changes == starts


async def test_a_process_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    async with supervised(tmp_path, IGNORES_SIGTERM) as stand_in:
        await stand_in.announced()
        pid = stand_in.process.pid
        assert pid is not None

    assert not is_running(pid)


async def test_the_url_of_an_earlier_run_is_ignored(tmp_path: Path) -> None:
    stale = tmp_path / "run" / "stand-in.url"
    stale.parent.mkdir()
    stale.write_text("http://127.0.0.1:2")

    async with supervised(tmp_path, RUNNING) as stand_in:
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
