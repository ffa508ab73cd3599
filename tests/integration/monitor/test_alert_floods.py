"""A flood of alerts by one source: others are answered meanwhile, and nothing of theirs is lost."""

import asyncio

import pytest
from nats.js.errors import APIError

from services.monitor.settings import Settings
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import ALERT_BYTES_MAX, Alert
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.messaging.streams import ALERTS_OF_SOURCE_MAX
from tests.integration.monitor.test_command_ids import released
from tests.support.brokers import Broker
from tests.support.system import Driver, driving, services
from tests.support.waiting import eventually

FLOOD = 3_000


async def flood(driver: Driver, count: int, data: bytes) -> None:
    js = driver.connection.js

    async def publish() -> None:
        for _ in range(count // 100):
            await js.publish(subjects.alert("eve"), data, timeout=30)

    await asyncio.gather(*(publish() for _ in range(100)))


async def test_a_flood_evicts_no_alert_of_another_source(broker: Broker) -> None:
    async with services(broker.url, monitors=0), driving(broker.url) as driver:
        trigger = await released(driver)
        await driver.alert("Boom", "pager", gate="checkout")
        await flood(driver, FLOOD, Alert(name="Flood").to_json())

        state = await driver.connection.js.stream_info(subjects.ALERTS_STREAM, subjects_filter=">")
        assert state.state.subjects == {
            "sluiceway.alerts.pager": 1,
            "sluiceway.alerts.eve": ALERTS_OF_SOURCE_MAX,
        }
        async with services(broker.url, schedulers=0, publishers=0):
            await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_an_alert_is_answered_before_the_flood_that_came_before_it(broker: Broker) -> None:
    async with services(broker.url, monitors=0), driving(broker.url) as driver:
        trigger = await released(driver)
        await flood(driver, ALERTS_OF_SOURCE_MAX, Alert(name="Flood", labels={"gate": "other"}).to_json())
        await driver.alert("Boom", "pager", gate="checkout")

        async with services(broker.url, schedulers=0, publishers=0):
            await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
            store = MeasurementStore(driver.connection, "/tests")

            async def all_answered() -> list[str] | None:
                sources = [answered.source for answered in await store.answered_alerts()]
                return sources if len(sources) == ALERTS_OF_SOURCE_MAX + 1 else None

            sources = await eventually(all_answered, "every alert is answered")
        assert sources.index("pager") < 0.9 * ALERTS_OF_SOURCE_MAX


async def test_nobody_uses_up_the_ids_of_another_source(broker: Broker) -> None:
    async with services(broker.url, monitors=0), driving(broker.url) as driver:
        js = driver.connection.js
        alert, header = Alert(name="Boom").to_json(), {"Nats-Msg-Id": "f00d-None-firing"}
        await js.publish(subjects.alert("eve"), alert, headers=header)

        async def is_stored() -> bool:
            ack = await js.publish(subjects.alert("pager"), alert, headers=header)
            return not ack.duplicate

        await eventually(is_stored, "the id is free again")


async def test_an_alert_that_is_too_large_is_refused_when_it_is_published(broker: Broker) -> None:
    async with services(broker.url, monitors=0), driving(broker.url) as driver:
        with pytest.raises(APIError, match="message size exceeds maximum allowed"):
            await driver.connection.js.publish(subjects.alert("eve"), bytes(2 * ALERT_BYTES_MAX))


def test_some_sources_may_flood_before_others_wait() -> None:
    assert Settings.model_fields["alerts_in_flight"].default >= 4 * ALERTS_OF_SOURCE_MAX
