"""A console with every service behind it, and a driver that acts over NATS."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.consoles import RunningConsole, running_console
from tests.support.system import Driver, driving, services


class Served(NamedTuple):
    """A running console, and a driver of the system behind it."""

    driver: Driver
    console: RunningConsole


@pytest.fixture
async def served(broker: Broker, tmp_path: Path) -> AsyncIterator[Served]:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        async with running_console(broker.url, tmp_path) as console:
            yield Served(driver, console)
