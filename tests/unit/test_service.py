"""How a service reads what it follows."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Self

import pytest
from nats.errors import Error as NatsError

from sluiceway.messaging.connection import Connection
from sluiceway.service import Service
from sluiceway.settings import ServiceSettings


class View:
    """A view that is read when `end` is set; it tells what happens to it."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.end = asyncio.Event()
        self._name = name
        self._told = told

    async def __aenter__(self) -> Self:
        self._told.append(f"follow {self._name}")
        return self

    async def __aexit__(self, *details: object) -> None:
        self._told.append(f"leave {self._name}")

    @property
    def is_current(self) -> bool:
        return self.end.is_set()

    async def caught_up(self) -> None:
        await self.end.wait()
        self._told.append(f"read {self._name}")


class Following(Service):
    """A service that follows views."""

    name = "following"

    def __init__(self, views: Mapping[str, View]) -> None:
        super().__init__(ServiceSettings())
        self.views = views

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Start without a broker."""

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            await self.follow_all(self.views, stack)


async def test_all_views_are_read_at_the_same_time_and_readiness_names_the_first_that_is_missing() -> None:
    told = list[str]()
    views = {name: View(name, told) for name in ("log", "regions")}
    service = Following(views)
    running = asyncio.create_task(service.run())
    await asyncio.sleep(0)

    assert told == ["follow log", "follow regions"]
    assert list(service.missing) == ["log"]
    views["regions"].end.set()
    await asyncio.sleep(0)
    assert list(service.missing) == ["log"]
    views["log"].end.set()
    await running

    assert told[2:] == ["read log", "read regions", "leave regions", "leave log"]


async def test_what_the_broker_allows_for_no_region_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    service = Following({})

    for _ in range(3):
        for number in range(1_000):
            denied = f'Permissions Violation for Publish to "sluiceway.heartbeats.region{number}"'
            await service._record_connection_error(NatsError(f"nats: {denied}"))
    await service._record_connection_error(
        NatsError('nats: Permissions Violation for Publish to "sluiceway.audit.scheduler"')
    )
    for port in (1, 2):
        await service._record_connection_error(OSError(f"no answer at example.org:{port}"))

    assert len(caplog.records) == 4
