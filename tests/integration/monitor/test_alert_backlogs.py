"""A backlog of alerts stays in the stream: few wait in a monitor, and it ends without handling those."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from services.monitor.alert_handler import AlertHandler
from services.monitor.app import ALERTS_OF_SOURCE_AT_ONCE, ALERTS_OF_SOURCE_WAITING, Monitor
from services.monitor.settings import Settings
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.messaging.streams import ALERTS_OF_SOURCE_MAX
from tests.integration.monitor.test_alert_floods import FLOOD, flood
from tests.support.brokers import Broker
from tests.support.system import Driver, driving, services
from tests.support.waiting import eventually

#: An alert of 40 kB.
LARGE = Alert(name="Flood", labels={"text": "x" * 40_000}).to_json()
#: For a monitor that holds a backlog to stop: less than its handling takes, and more than `STOP_SECONDS`.
STOPPED_WITHIN_SECONDS = 10.0
DELIVERED_WITHIN_SECONDS = 60.0


class Received:
    """Alerts that a monitor handles: those of `eve` end when `is_open`, and all others immediately."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_open = asyncio.Event()
        self.sources: list[str] = []
        self.ended: set[int] = set()
        self.parsed = 0
        parse = Alert.model_validate_json

        def counted(*args: Any, **options: Any) -> Alert:
            self.parsed += 1
            return parse(*args, **options)

        async def receive(_: AlertHandler, alert: Alert, subject: str, sequence: int, time_ms: int) -> None:
            self.sources.append(subject)
            if subject == subjects.alert("eve"):
                await self.is_open.wait()
            self.ended.add(sequence)

        monkeypatch.setattr(AlertHandler, "receive", receive)
        monkeypatch.setattr(Alert, "model_validate_json", counted)


@pytest.fixture
async def received(monkeypatch: pytest.MonkeyPatch) -> Received:
    return Received(monkeypatch)


async def flood_until_delivered(driver: Driver, monitor: Monitor) -> int:
    """Flood a monitor until it was given every alert; return how many of them waited in it at most."""
    flooding = asyncio.create_task(flood(driver, FLOOD, LARGE))
    most = 0

    async def is_delivered() -> bool:
        nonlocal most
        most = max(most, monitor.alert_turns.waiting("eve"))
        if not flooding.done():
            return False
        js = driver.connection.js
        consumer = await js.consumer_info(subjects.ALERTS_STREAM, subjects.MONITOR_DURABLE)
        return not consumer.num_pending

    await eventually(is_delivered, "every alert is delivered", DELIVERED_WITHIN_SECONDS)
    await flooding
    return most


async def test_what_waits_of_one_source_is_bounded_and_keeps_no_other_waiting(
    broker: Broker, received: Received
) -> None:
    async with (
        services(broker.url, monitors=0),
        driving(broker.url) as driver,
        Monitor(Settings(nats_url=broker.url)) as monitor,
    ):
        most = await flood_until_delivered(driver, monitor)
        await driver.alert("Boom", "pager")

        await eventually(lambda: subjects.alert("pager") in received.sources, "pager's alert is handled")
        assert most == ALERTS_OF_SOURCE_WAITING
        assert len(received.sources) == ALERTS_OF_SOURCE_AT_ONCE + 1
        assert received.parsed == len(received.sources), "what waits is not read"
        received.is_open.set()


async def test_a_backlog_is_not_handled_when_a_monitor_stops_and_the_next_one_handles_it(
    broker: Broker, received: Received
) -> None:
    async with services(broker.url, monitors=0), driving(broker.url) as driver:
        stack = AsyncExitStack()
        await flood_until_delivered(
            driver, await stack.enter_async_context(Monitor(Settings(nats_url=broker.url)))
        )

        async with asyncio.timeout(STOPPED_WITHIN_SECONDS):
            await stack.aclose()

        assert len(received.sources) == ALERTS_OF_SOURCE_AT_ONCE
        assert not received.ended

        received.is_open.set()
        state = (await driver.connection.js.stream_info(subjects.ALERTS_STREAM)).state
        kept = set(range(state.last_seq - ALERTS_OF_SOURCE_MAX + 1, state.last_seq + 1))
        async with Monitor(Settings(nats_url=broker.url)):
            await eventually(
                lambda: kept <= received.ended, "what the stream keeps is handled", DELIVERED_WITHIN_SECONDS
            )
