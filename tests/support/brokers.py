"""A real nats-server for a test: a process, or the same binary in a container built from scratch."""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from services.local.broker import EmbeddedBroker, find_binary

IMAGE = "sluiceway-test-nats"


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
