"""One running system for all tests of this folder; each leaves it well. Figures are printed at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .compose import UP_SECONDS, Compose, compose_of_a_clone, images_of
from .docker_engine import docker_engine, run
from .stand_ins import images

#: Whose images are not built here. Grafana is left out: no program of a host can stand in for it.
OTHERS = ("nats", "prometheus", "alertmanager")


class Figures:
    """What was measured, a line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Measure how long the block takes."""
        began = time.monotonic()
        yield
        self.lines.append(f"{what}: {time.monotonic() - began:.1f} s")


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    measured = Figures()
    yield measured
    print("\n" + "\n".join(measured.lines))


@pytest.fixture(scope="session")
def compose(tmp_path_factory: pytest.TempPathFactory, figures: Figures) -> Iterator[Compose]:
    """Give the system in containers, started for the first time from a fresh clone."""
    folder = tmp_path_factory.mktemp("clone", numbered=True)
    with (
        docker_engine(),
        compose_of_a_clone(folder) as compose,
        images(images_of(folder, OTHERS)) as stand_ins,
    ):
        figures.lines.append(f"stand-ins of this host: {', '.join(stand_ins) or 'none'}")
        with figures.timing("build of the image of all services"):
            compose.run("build", seconds=UP_SECONDS)
        with figures.timing("first start, until all are healthy"):
            compose.up()
        note_memory(compose, figures)
        yield compose


def note_memory(compose: Compose, figures: Figures) -> None:
    """Add how much memory each container has."""
    ids = {container.id: container.service for container in compose.containers().values()}
    shown = run("docker", "stats", "--no-stream", "--no-trunc", "--format={{.ID}} {{.MemUsage}}", *ids)
    memory = sorted(
        f"{ids[line.split()[0]]} {line.split()[1]}" for line in shown.splitlines() if line.split()[1] != "0B"
    )
    figures.lines.append(f"memory: {', '.join(memory)}")
