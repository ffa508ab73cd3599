"""A client inside an application, whose connection was closed for good: it opens another, by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.client import Client, User, nats_transport
from sluiceway.messaging.connection import Connection, connected
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue, phase
from tests.support.system import EVERYONE, driving, services
from tests.support.waiting import eventually


async def test_a_client_follows_the_rules_with_a_new_connection(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[Connection, asyncio.AbstractEventLoop]] = []

    @asynccontextmanager
    async def recorded(*arguments: Any, **options: Any) -> AsyncIterator[Connection]:
        async with connected(*arguments, **options) as connection:
            opened.append((connection, asyncio.get_running_loop()))
            yield connection

    monkeypatch.setattr(nats_transport, "connected", recorded)
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"))
        async with Client("dev", url=broker.url) as client:
            connection, loop = opened[0]
            asyncio.run_coroutine_threadsafe(connection.client.close(), loop)
            await driver.save_gate("checkout", EVERYONE)

            await eventually(lambda: client.check_gate(User("ada"), "checkout"), "it has the new rules")

    assert len(opened) == 2
