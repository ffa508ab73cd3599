"""Brokers whose store runs out of space: at a limit of the server, or because the disk is full."""

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from services.local.broker import EmbeddedBroker
from sluiceway.messaging.streams import streams

FILLER = "FILLER"
MESSAGE = b"x" * 100_000
SMALL_BYTES = 2**20


@contextmanager
def small_store(data_dir: Path, max_file_store: str) -> Iterator[EmbeddedBroker]:
    """Run a broker with a limit for its store."""
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / "broker.conf"
    config.write_text(
        f'jetstream {{store_dir: "{data_dir / "jetstream"}", max_file_store: {max_file_store}}}\n'
    )
    with EmbeddedBroker(data_dir, config=config) as broker:
        yield broker


@contextmanager
def small_disk(data_dir: Path, size: str) -> Iterator[EmbeddedBroker]:
    """Run a broker on a disk of its own, whose limit is far above the size of the disk; needs root."""
    disk = data_dir / "jetstream"
    disk.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here: that needs root")
    try:
        with small_store(data_dir, "100GB") as broker:
            yield broker
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


async def declare_small(js: JetStreamContext) -> None:
    """Declare our streams, none of which reserves more than a little of the store."""
    for config in streams(1):
        await js.add_stream(config.evolve(max_bytes=SMALL_BYTES) if config.max_bytes else config)


async def fill_store(js: JetStreamContext) -> None:
    """Store messages until the broker refuses them."""
    await js.add_stream(name=FILLER, subjects=["filler"])
    with contextlib.suppress(NatsError, TimeoutError):
        while True:
            await js.publish("filler", MESSAGE)


def fill_disk(data_dir: Path) -> None:
    """Write a file until there is no space left on the disk."""
    with contextlib.suppress(OSError), (data_dir / "jetstream" / FILLER).open("wb", buffering=0) as file:
        while file.write(MESSAGE):
            pass


def free_disk(data_dir: Path) -> None:
    (data_dir / "jetstream" / FILLER).unlink()
