"""The embedded broker as a process: its port, its data, its lock, and how it stops."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from services.local.broker import HOST, EmbeddedBroker, _check_version
from sluiceway.errors import Misconfigured
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings
from tests.support.local import ROOT, is_running
from tests.support.waiting import eventually

SUPERVISOR = """
import pathlib, signal, sys
from services.local.broker import EmbeddedBroker
with EmbeddedBroker(pathlib.Path(sys.argv[1])) as broker:
    print(broker.pid, flush=True)
    signal.pause()
"""


async def test_a_killed_broker_restarts_at_the_same_port_with_its_data(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        url = broker.url
        async with connected(BrokerSettings(nats_url=url), "tests") as connection:
            await connection.js.add_stream(name="KEPT", subjects=["kept"])
            await connection.js.publish("kept", b"a message")

        broker.kill()
        assert broker.pid is None
        broker.start()

        assert broker.url == url
        async with connected(BrokerSettings(nats_url=url), "tests") as connection:
            assert (await connection.js.get_msg("KEPT", 1)).data == b"a message"


def test_the_next_broker_in_the_same_folder_uses_the_same_port(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as earlier:
        url = earlier.url

    with EmbeddedBroker(tmp_path) as later:
        assert later.url == url


def test_a_port_that_is_in_use_by_now_is_replaced_by_another(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as earlier:
        port = int(earlier.url.rsplit(":", 1)[1])

    with socket.create_server((HOST, port)), EmbeddedBroker(tmp_path) as later:
        assert later.url != earlier.url


def test_a_requested_port_that_is_in_use_is_an_error_and_leaves_no_lock(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(Misconfigured, match=r"broker\.log"), EmbeddedBroker(tmp_path, port):
            pass

    with EmbeddedBroker(tmp_path, port) as broker:
        assert broker.url == f"nats://{HOST}:{port}"


def test_a_second_broker_in_the_same_folder_is_refused_with_the_process_id_of_the_first(
    tmp_path: Path,
) -> None:
    with EmbeddedBroker(tmp_path) as first:
        with pytest.raises(Misconfigured, match=f"process {os.getpid()};"), EmbeddedBroker(tmp_path):
            pass

        assert first.pid is not None


def test_a_stopped_broker_leaves_no_process(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        pid = broker.pid
        assert pid is not None
        assert is_running(pid)

    assert broker.pid is None
    assert not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_a_broker_ends_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, str(tmp_path)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout
    pid = int(await supervisor.stdout.readline())

    supervisor.kill()
    await supervisor.wait()

    await eventually(lambda: not is_running(pid), "the broker has ended")


def test_an_old_server_is_refused_with_the_version_that_is_required(tmp_path: Path) -> None:
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.9.10\n")
    old.chmod(0o700)

    with pytest.raises(Misconfigured, match=r"v2\.9\.10; version 2\.12 or newer is required"):
        _check_version(old)
