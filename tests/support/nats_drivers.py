"""The two ways in which processes connect to the broker, for tests that must hold for both."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
from nats.aio.client import Client

from services.monitor.app import build_clearance_broker
from services.monitor.settings import Settings
from sluiceway.contracts.measurements import Clearance
from sluiceway.messaging.connection import connected
from sluiceway.tasks import cancel_and_wait


@asynccontextmanager
async def nats_py(settings: Settings) -> AsyncIterator[Client]:
    """Connect as every process does."""
    async with connected(settings, "tests") as connection:
        yield connection.client


@asynccontextmanager
async def faststream(settings: Settings) -> AsyncIterator[Client]:
    """Connect as the scheduler and the monitor do as well."""
    broker = build_clearance_broker(settings, _unused)
    await broker.start()
    try:
        yield await broker.connect()
    finally:
        await broker.stop()


Driver = Callable[[Settings], AbstractAsyncContextManager[Client]]
both_drivers = pytest.mark.parametrize("driver", [nats_py, faststream])


@asynccontextmanager
async def trying(driver: Driver, settings: Settings) -> AsyncIterator[None]:
    """Try to connect while the block runs."""

    async def keep_connected() -> None:
        async with driver(settings):
            await asyncio.Event().wait()

    task = asyncio.create_task(keep_connected())
    try:
        yield
    finally:
        with suppress(Exception):
            await cancel_and_wait(task)


async def _unused(request: object) -> Clearance:
    raise AssertionError("nobody asks")
