"""The system as a whole: `system.json`, its lock, its edges, and a start that fails."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.local.system import SERVICES, Options, System, running_system
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Region
from sluiceway.errors import Misconfigured
from sluiceway.messaging.connection import connected
from sluiceway.messaging.publishing import DELETION
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.http import http_client
from tests.support.local import ROOT, is_running
from tests.support.waiting import eventually

REGION = Region(name="prod-asia", environment="production")
EDGE = f"edge-{REGION.name}"
#: Replicas with which a system has a scheduler, which creates the streams, and nothing that a test ignores.
SCHEDULER_ALONE = {name: 0 for name in SERVICES if name != "scheduler"}


async def test_system_json_lists_the_processes_and_afterwards_that_none_runs(tmp_path: Path) -> None:
    async with running_system(Options(tmp_path)) as system:
        await system.ready()
        state = _state(tmp_path)

        assert state["nats_url"] == system.nats_url
        assert state["processes"].keys() == {"broker", *SERVICES}
        pids = [process["pid"] for process in state["processes"].values()]
        assert all(map(is_running, pids))
        assert state["processes"]["broker"]["http"] is None
        assert state["processes"]["monitor"]["http"] == system.processes["monitor"].http

    assert not any(map(is_running, pids))
    assert {process["pid"] for process in _state(tmp_path)["processes"].values()} == {None}


async def test_a_killed_broker_is_restarted_at_its_port(tmp_path: Path) -> None:
    async with running_system(Options(tmp_path, scale=SCHEDULER_ALONE)) as system:
        url, old = system.nats_url, _pid(tmp_path, "broker")
        assert old is not None

        os.kill(old, signal.SIGKILL)

        await eventually(lambda: _pid(tmp_path, "broker") not in (None, old), "the broker runs again")
        async with connected(BrokerSettings(nats_url=url), "tests", wait_for_broker=False) as connection:
            assert await connection.is_alive()


async def test_an_edge_starts_and_stops_with_its_region(tmp_path: Path) -> None:
    async with running_system(Options(tmp_path, scale={**SCHEDULER_ALONE, EDGE: 2})) as system:
        await _write(system, REGION.to_json())
        await eventually(lambda: {EDGE, f"{EDGE}-2"} <= _running(tmp_path), "the region has its edges")
        pid = _pid(tmp_path, EDGE)
        assert pid is not None

        await _write(system, b"", DELETION)

        await eventually(lambda: EDGE not in _state(tmp_path)["processes"], "its edge has stopped")
        assert not is_running(pid)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this system has no IPv6")
async def test_settings_of_the_console_are_not_those_of_edges_and_all_may_listen_on_ipv6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICEWAY_HTTP_HOST", "::")
    monkeypatch.setenv("SLUICEWAY_PUBLIC_URL", "https://releases.example/console")
    options = Options(tmp_path, scale={**SCHEDULER_ALONE, "evaluator_publisher": 1, "console": 1})
    async with running_system(options) as system, http_client() as http:
        await _write(system, REGION.to_json())
        await eventually(lambda: EDGE in _running(tmp_path), "the region has its edge")
        await system.ready()
        urls = {name: str(_state(tmp_path)["processes"][name]["http"]) for name in (EDGE, "console")}

        statuses = {
            name: [(await http.get(f"{url}{path}/healthz")).status_code for path in ("", "/console")]
            for name, url in urls.items()
        }

    assert all(url.startswith("http://[::]:") for url in urls.values())
    assert statuses == {"console": [200, 200], EDGE: [200, 404]}


async def test_a_start_that_fails_half_way_leaves_no_process(tmp_path: Path) -> None:
    in_the_way = tmp_path / "logs" / "monitor.log"
    in_the_way.mkdir(parents=True)
    before = _children()

    with pytest.raises(IsADirectoryError):
        async with running_system(Options(tmp_path)):
            pass

    assert {"broker", "scheduler"} <= _state(tmp_path)["processes"].keys()
    assert _running(tmp_path) == set()
    assert _children() <= before


async def test_a_data_folder_has_one_user_even_on_an_external_broker(tmp_path: Path, broker: Broker) -> None:
    options = Options(tmp_path / "data", broker.url, scale=SCHEDULER_ALONE)
    async with running_system(options):
        with pytest.raises(Misconfigured, match=f"in use by process {os.getpid()};"):
            async with running_system(options):
                pass


async def test_an_invalid_scale_is_an_error_on_one_line() -> None:
    async with _up("--scale", "scheduler") as process:
        out, error = await process.communicate()

    assert (process.returncode, out) == (1, b"")
    assert error.decode() == "sluiceway: --scale scheduler: use NAME=COUNT, for example scheduler=2\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_start_that_waits(tmp_path: Path, number: signal.Signals) -> None:
    async with _up("--data-dir", str(tmp_path), "--scale", "scheduler=0") as process:
        assert process.stdout
        while b"started monitor" not in (line := await process.stdout.readline()):
            assert line, "it ended"
        pids = [_pid(tmp_path, name) for name in ("broker", "monitor")]

        process.send_signal(number)
        out, error = await process.communicate()

    assert (process.returncode, error) == (0, b"")
    assert "all processes have ended" in out.decode()
    assert not any(is_running(pid) for pid in pids if pid)


@asynccontextmanager
async def _up(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `up`, for at most half a minute; it does not outlive the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.local", "up", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _write(system: System, data: bytes, headers: dict[str, str] | None = None) -> None:
    async with connected(BrokerSettings(nats_url=system.nats_url), "tests") as connection:
        await connection.js.publish(subjects.catalogue("region", REGION.name), data, headers=headers)


def _state(data_dir: Path) -> dict[str, Any]:
    return dict(json.loads((data_dir / "system.json").read_text()))


def _pid(data_dir: Path, name: str) -> int | None:
    pid: int | None = _state(data_dir)["processes"].get(name, {}).get("pid")
    return pid


def _running(data_dir: Path) -> set[str]:
    return {name for name in _state(data_dir)["processes"] if _pid(data_dir, name)}


def _children() -> set[str]:
    """Return the children of this process; Linux only, elsewhere none."""
    files = Path("/proc/self/task").glob("*/children")
    return {pid for file in files for pid in file.read_text().split()}
