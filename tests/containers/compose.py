"""The containers of docker-compose.yml, started from what a fresh clone has."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from .docker_engine import run

ROOT = Path(__file__).parents[2]
#: Apart from containers that somebody has started in the checkout.
PROJECT = "sluiceway-test"
IMAGE = "sluiceway:test"
#: For the first build and start of everything, and for other commands.
UP_SECONDS = 900.0
COMMAND_SECONDS = 180.0


class Container(NamedTuple):
    """A container of a service, as the engine shows it."""

    service: str
    id: str
    pid: int
    #: `running`, `exited`, `restarting`, …
    status: str
    #: `healthy`, `starting`, `unhealthy`; empty without a health check.
    health: str
    exit_code: int
    user: str
    #: `NAME=value`
    environment: tuple[str, ...]
    #: The names of its volumes.
    volumes: frozenset[str]

    @property
    def is_well(self) -> bool:
        """Whether it is healthy, runs without a check, or has done what it was for."""
        if self.status == "running":
            return self.health in ("healthy", "")
        return self.status == "exited" and self.exit_code == 0


class Compose:
    """Runs commands of Compose in a folder with the files of a fresh clone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._program = _program()

    def run(self, *words: str, seconds: float = COMMAND_SECONDS, stdin: bytes | None = None) -> str:
        """Return what `docker compose …` prints on standard output; fails if it fails."""
        return run(*self._call(*words), seconds=seconds, stdin=stdin)

    def succeeds(self, *words: str) -> bool:
        """Return whether `docker compose …` succeeds."""
        called = self._call(*words)
        done = subprocess.run(called, capture_output=True, timeout=COMMAND_SECONDS, check=False)
        return done.returncode == 0

    def _call(self, *words: str) -> tuple[str, ...]:
        place = f"--project-directory={self.folder}", f"--file={self.folder / 'docker-compose.yml'}"
        return (*self._program, *place, f"--project-name={PROJECT}", *words)

    def up(self, *words: str) -> None:
        """Build what is missing and start everything; return when all of it is ready."""
        self.run("up", "--detach", *words, seconds=UP_SECONDS)

    def cli(self, *words: str) -> str:
        """Return what `sluiceway …` prints on this host."""
        return self.run("run", "--rm", "-T", "cli", *words)

    def inside(self, service: str, *words: str) -> str:
        """Return what a command prints in the container of a service."""
        return self.run("exec", "-T", service, *words)

    def containers(self) -> dict[str, Container]:
        """Return the container of each service, running or not."""
        of_project = f"--filter=label=com.docker.compose.project={PROJECT}"
        ids = run("docker", "ps", "--all", "--quiet", of_project).split()
        found = INSPECTED.validate_json(run("docker", "inspect", *ids)) if ids else []
        return {container.service: container for container in map(_container, found)}

    def kill(self, service: str) -> None:
        """End the process of a container as a crash does: for `docker kill` nothing is started again."""
        os.kill(self.containers()[service].pid, signal.SIGKILL)


@contextmanager
def compose_of_a_clone(folder: Path) -> Iterator[Compose]:
    """Give Compose in a copy of the files that Git has; containers and volumes are removed afterwards."""
    files = run("git", "-C", str(ROOT), "ls-files", "-z").split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("IMAGE", IMAGE)
        compose = Compose(folder)
        try:
            yield compose
        finally:
            compose.run("--profile=observe", "--profile=tools", "down", "--volumes", "--remove-orphans")


def images_of(folder: Path, services: Sequence[str]) -> list[str]:
    """Return the images that these services, and the build of our own image, begin with."""
    described = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]
    built_from = [
        line.split()[1]
        for line in (folder / "deploy" / "docker" / "service.Dockerfile").read_text().splitlines()
        if line.startswith("FROM ")
    ]
    return [*built_from, *(described[service]["image"] for service in services)]


def _program() -> tuple[str, ...]:
    """Return how Compose is called here: as a part of Docker, or the older program of its own."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ("docker", "compose")
    if not shutil.which("docker-compose"):
        pytest.skip("Docker Compose is not installed, so no container ran: apt-get install docker-compose")
    return ("docker-compose",)


class _Health(BaseModel):
    Status: str = ""


class _State(BaseModel):
    Status: str
    Pid: int
    ExitCode: int
    Health: _Health = _Health()


class _Config(BaseModel):
    Labels: dict[str, str]
    User: str
    Env: tuple[str, ...]


class _Mount(BaseModel):
    Name: str = ""


class _Inspected(BaseModel):
    """A container as `docker inspect` shows it."""

    Id: str
    Config: _Config
    State: _State
    Mounts: tuple[_Mount, ...]


INSPECTED = TypeAdapter(list[_Inspected])


def _container(found: _Inspected) -> Container:
    state = found.State
    return Container(
        found.Config.Labels["com.docker.compose.service"],
        found.Id,
        state.Pid,
        state.Status,
        state.Health.Status,
        state.ExitCode,
        found.Config.User,
        found.Config.Env,
        frozenset(mount.Name for mount in found.Mounts),
    )
