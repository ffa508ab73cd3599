"""The Docker engine that runs the containers: the one that answers, else one of our own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

#: For an engine to answer after its start.
START_SECONDS = 30.0
#: For an engine to stop its containers and itself.
STOP_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.2
#: Kernels without nftables need it; engines call what `iptables` is in their path.
LEGACY_IPTABLES = Path("/usr/sbin/iptables-legacy")


def run(*words: str, seconds: float = 60.0, stdin: bytes | None = None) -> str:
    """Return what a command prints; fails, with all of its output, if it fails or takes longer."""
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=seconds, check=False)
    output, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{output}\n{errors}"
    return output


@contextmanager
def docker_engine() -> Iterator[None]:
    """Let `docker` reach an engine while the block runs; skip where there is none and none can be started."""
    if not shutil.which("docker"):
        pytest.skip("docker is not installed, so no container ran: apt-get install docker.io docker-compose")
    if _answers():
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("no Docker engine answers and only root can start one, so no container ran")
    if not shutil.which("dockerd"):
        pytest.skip("no Docker engine answers and dockerd is not installed, so no container ran")
    with (
        tempfile.TemporaryDirectory(prefix="sluiceway-docker-", ignore_cleanup_errors=True) as folder,
        _own_engine(Path(folder)),
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("DOCKER_HOST", f"unix://{folder}/socket")
        yield


def _answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30).returncode == 0


@contextmanager
def _own_engine(folder: Path) -> Iterator[None]:
    """Run an engine with everything in a folder; its containers are gone when the block ends."""
    log = folder / "log"
    with log.open("wb") as output:
        engine = subprocess.Popen(_command(folder), stdout=output, stderr=output, env=_environment(folder))
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "socket").exists():
            if engine.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").splitlines()[-5:]
                pytest.skip(f"dockerd does not start here, so no container ran: {' / '.join(lines)}")
            time.sleep(LOOK_EVERY_SECONDS)
        yield
    finally:
        engine.terminate()
        engine.wait(STOP_SECONDS)


def _command(folder: Path) -> Sequence[str]:
    return (
        "dockerd",
        f"--data-root={folder / 'data'}",
        f"--exec-root={folder / 'exec'}",
        f"--pidfile={folder / 'pid'}",
        f"--host=unix://{folder / 'socket'}",
    )


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of an engine, in which `iptables` works on this kernel."""
    environment = dict(os.environ)
    works = subprocess.run(["iptables", "--table=nat", "--list"], capture_output=True, check=False)
    if works.returncode != 0 and LEGACY_IPTABLES.exists():
        programs = folder / "programs"
        programs.mkdir()
        (programs / "iptables").symlink_to(LEGACY_IPTABLES)
        environment["PATH"] = f"{programs}:{environment['PATH']}"
    return environment
