"""The edge of the region dev, with every service, and somebody who changes features."""

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.system import Driver, driving, services


class Served(NamedTuple):
    """A running edge that accepts `key`, and a driver of the system behind it."""

    driver: Driver
    edge: RunningEdge
    key: str


@pytest.fixture
async def dev(broker: Broker, tmp_path: Path) -> AsyncIterator[Served]:
    grpc_port = 0 if find_spec("grpc") else None
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        key = await create_key(driver, region="dev")
        async with running_edge(broker.url, "dev", tmp_path, key, grpc_port=grpc_port) as edge:
            yield Served(driver, edge, key)
