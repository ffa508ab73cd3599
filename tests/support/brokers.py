"""A real nats-server for a test: a process, or the same binary in a container built from scratch."""

import contextlib
import io
import os
import socket
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import docker
import pytest
from docker.errors import DockerException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from services.local.broker import HOST, EmbeddedBroker, find_binary

IMAGE = "sluiceway-test-nats"
DOCKER_SOCKET = "unix:///var/run/docker.sock"
START_SECONDS = 15.0
LOOK_EVERY_SECONDS = 0.01
DOCKERFILE = b"""\
FROM scratch
COPY nats-server /nats-server
ENTRYPOINT ["/nats-server", "--jetstream", "--store_dir", "/data"]
"""


class Broker(Protocol):
    """What tests do to a broker. It comes back at the same address, with its data."""

    @property
    def url(self) -> str: ...

    def kill(self) -> None:
        """As `kill -9`."""

    def start(self) -> None: ...


@contextmanager
def embedded_broker(data_dir: Path) -> Iterator[Broker]:
    with EmbeddedBroker(data_dir) as broker:
        yield broker


def broker_with_limit(folder: Path, max_payload: int) -> EmbeddedBroker:
    """Return a broker that takes messages of at most so many bytes, headers included."""
    set_limit(folder, max_payload)
    return EmbeddedBroker(folder / "broker", config=folder / "broker.conf")


def broker_with_max_pending(folder: Path, max_pending: int) -> EmbeddedBroker:
    """Return a broker that cuts off a connection for which more than so many bytes wait."""
    store, config = folder / "broker" / "jetstream", folder / "broker.conf"
    config.write_text(f'max_pending: {max_pending}\njetstream {{store_dir: "{store}"}}\n')
    return EmbeddedBroker(folder / "broker", config=config)


def broker_with_max_consumers(folder: Path, max_consumers: int) -> EmbeddedBroker:
    """Return a broker whose only account takes so many consumers of each stream."""
    store, config = folder / "broker" / "jetstream", folder / "broker.conf"
    config.write_text(
        f'jetstream {{store_dir: "{store}"}}\n'
        f"accounts {{A {{jetstream {{max_consumers: {max_consumers}}}, users [{{user: u, password: p}}]}}}}\n"
        "no_auth_user: u\n"
    )
    return EmbeddedBroker(folder / "broker", config=config)


def set_limit(folder: Path, max_payload: int) -> None:
    """Change the limit of that broker, from its next start on."""
    store = folder / "broker" / "jetstream"
    (folder / "broker.conf").write_text(f'max_payload: {max_payload}\njetstream {{store_dir: "{store}"}}\n')


@contextmanager
def container_broker() -> Iterator[Broker]:
    """Run the wheel's static binary in Docker; skips where no engine answers."""
    _engine_or_skip()
    testcontainers_config.ryuk_disabled = True  # its image cannot be pulled everywhere; we stop our own
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    with DockerContainer(IMAGE).with_bind_ports(4222, port) as container:
        broker = _ContainerBroker(container, port)
        broker.wait()
        yield broker


class _ContainerBroker:
    def __init__(self, container: DockerContainer, port: int) -> None:
        self._container = container
        self._port = port

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self._port}"

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        self.wait()

    def wait(self) -> None:
        """Return once the server greets; Docker's proxy accepts before it is there."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection((HOST, self._port), timeout=1) as connection,
            ):
                if connection.recv(4) == b"INFO":
                    return
            time.sleep(LOOK_EVERY_SECONDS)
        raise AssertionError(f"the broker in Docker did not answer within {START_SECONDS:g} s")


def _engine_or_skip() -> None:
    """Build the image where it is missing; skip where no engine is there to do so."""
    address = os.environ.get("DOCKER_HOST", DOCKER_SOCKET)
    try:
        if address.startswith("unix://"):  # asked here, since docker-py leaks the socket of a failure
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(address.removeprefix("unix://"))
        client = docker.DockerClient.from_env()
    except (DockerException, OSError) as error:
        pytest.skip(f"no Docker engine answers at {address}, so nothing ran in a container: {error}")
    with contextlib.closing(client):
        if not client.images.list(IMAGE):
            client.images.build(fileobj=_context(), custom_context=True, tag=IMAGE, rm=True)


def _context() -> io.BytesIO:
    """Return the build context: a Dockerfile and the static binary."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        archive.add(find_binary(), "nats-server")
        recipe = tarfile.TarInfo("Dockerfile")
        recipe.size = len(DOCKERFILE)
        archive.addfile(recipe, io.BytesIO(DOCKERFILE))
    context.seek(0)
    return context
