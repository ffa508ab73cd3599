"""Hears the newest events of FEATURES, as the broker has stored them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.events import EventType
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import TYPE_PREFIX

ARRIVES_SECONDS = 60.0


class HeardEvent(NamedTuple):
    """When an event was stored, by the broker's clock, and heard, by the one of `time.perf_counter`."""

    stored_ms: float
    heard: float


class LogListener:
    """Remembers when each feature had its newest event of each type."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str], HeardEvent] = {}
        self._more = asyncio.Event()

    async def receive(self, message: Msg) -> None:
        name = subjects.parse_feature(message.subject).name
        type_ = (message.headers or {})[envelope.CE_TYPE]
        stored_ms = message.metadata.timestamp.timestamp() * 1_000
        self._heard[name, type_] = HeardEvent(stored_ms, time.perf_counter())
        self._more.set()

    async def wait(self, name: str, type_: EventType, after_ms: float = 0) -> HeardEvent:
        """Return the event, stored at `after_ms` or later, once it was heard; `TimeoutError` without it."""
        async with asyncio.timeout(ARRIVES_SECONDS):
            while True:
                event = self._heard.get((name, TYPE_PREFIX + type_))
                if event and event.stored_ms >= after_ms:
                    return event
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def listening(connection: Connection) -> AsyncIterator[LogListener]:
    """Hear what is appended from now on, until the block ends."""
    listener = LogListener()
    subscription = await connection.js.subscribe(
        subjects.FEATURES,
        stream=subjects.FEATURES_STREAM,
        ordered_consumer=True,
        cb=listener.receive,
        config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW, headers_only=True),
    )
    yield listener
    await subscription.unsubscribe()
