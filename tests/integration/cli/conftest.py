"""The services in this process, on a broker of the test's own, and the command line that talks to them."""

from collections.abc import AsyncIterator

import pytest

from tests.support.brokers import Broker
from tests.support.cli.calls import Cli
from tests.support.system import Driver, driving, services


@pytest.fixture
async def cli(broker: Broker) -> AsyncIterator[Cli]:
    """The command line, with every service running."""
    async with services(broker.url):
        yield Cli(broker.url)


@pytest.fixture
async def driver(broker: Broker, cli: Cli) -> AsyncIterator[Driver]:
    """Somebody else on the same broker."""
    async with driving(broker.url) as driver:
        yield driver
