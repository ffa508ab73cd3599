"""How alerts arrive: a request for more of them always waits at the broker."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.monitor import alert_consumer
from services.monitor.alert_consumer import LEFT, NEXT, REQUESTED, AlertConsumer
from services.monitor.app import alert_turns
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.errors import RetryLater
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.streams import declare
from tests.support.brokers import Broker
from tests.support.system import Driver, driving
from tests.support.waiting import eventually

IN_FLIGHT = 100


class Receiver:
    """Handles alerts, unless it `fails`."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.fails = False

    async def receive(self, alert: Alert, subject: str, sequence: int, time_ms: int) -> None:
        assert (sequence > 0, time_ms > 0) == (True, True)
        if self.fails:
            raise RetryLater("not now")
        self.names.append(alert.name)


@asynccontextmanager
async def consuming(driver: Driver, receiver: Receiver) -> AsyncIterator[AlertConsumer]:
    await declare(driver.connection.js, 1)
    letters, turns = DeadLetters(driver.connection, "monitor"), alert_turns()
    consumer = AlertConsumer(driver.connection.client, receiver.receive, letters, turns, IN_FLIGHT)
    async with consumer.running():
        yield consumer


async def fire(driver: Driver, count: int) -> list[str]:
    """Publish so many alerts, each of another source, one after another."""
    names = [f"alert{n}" for n in range(count)]
    for n, name in enumerate(names):
        await driver.alert(name, f"source{n}")
    return names


async def is_acknowledged(driver: Driver) -> bool:
    info = await driver.connection.js.consumer_info(subjects.ALERTS_STREAM, subjects.MONITOR_DURABLE)
    return not info.num_ack_pending


async def test_many_alerts_cost_few_requests_and_one_always_waits(broker: Broker) -> None:
    asked: list[Msg] = []

    async def count(message: Msg) -> None:
        asked.append(message)

    async with driving(broker.url) as driver:
        await driver.connection.client.subscribe(NEXT, cb=count)
        receiver = Receiver()
        async with consuming(driver, receiver):
            names = await fire(driver, 4 * REQUESTED)
            await eventually(lambda: len(receiver.names) == len(names), "all are handled")
            await eventually(lambda: is_acknowledged(driver), "all are acknowledged")
            info = await driver.connection.js.consumer_info(subjects.ALERTS_STREAM, subjects.MONITOR_DURABLE)

    assert sorted(receiver.names) == sorted(names)
    assert len(asked) < len(names) / 2
    assert info.num_waiting >= 1


async def test_alerts_arrive_again_after_the_broker_was_away(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        receiver = Receiver()
        async with consuming(driver, receiver):
            await fire(driver, 1)
            await eventually(lambda: receiver.names, "the first one is handled")

            broker.kill()
            broker.start()
            await eventually(driver.connection.is_alive, "the connection is back")
            await driver.alert("Later")

            await eventually(lambda: "Later" in receiver.names, "an alert after that is handled")


async def test_an_alert_that_cannot_be_handled_now_is_delivered_again(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        receiver = Receiver()
        receiver.fails = True
        async with consuming(driver, receiver):
            await fire(driver, 1)

            async def tried() -> bool:
                js = driver.connection.js
                info = await js.consumer_info(subjects.ALERTS_STREAM, subjects.MONITOR_DURABLE)
                return bool(info.num_redelivered)

            await eventually(tried, "it was delivered again")
            receiver.fails = False
            await eventually(lambda: receiver.names, "it is handled")


async def test_a_request_that_got_no_answer_is_made_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_consumer, "REQUEST_SECONDS", 0.05)
    async with driving(broker.url) as driver:
        receiver, publish = Receiver(), driver.connection.client.publish
        lost: list[str] = []

        async def losing(subject: str, payload: bytes = b"", **options: Any) -> None:
            if subject == NEXT and len(lost) < 3:
                lost.append(subject)
                return
            await publish(subject, payload, **options)

        monkeypatch.setattr(driver.connection.client, "publish", losing)
        async with consuming(driver, receiver):
            await fire(driver, 1)
            await eventually(lambda: receiver.names, "the alert arrives")

    assert len(lost) == 3


async def test_what_is_handled_when_a_monitor_stops_is_answered_first(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with driving(broker.url) as driver:
        receiver, may_end, began = Receiver(), asyncio.Event(), asyncio.Event()
        receive = receiver.receive

        async def slow(*args: Any) -> None:
            began.set()
            await may_end.wait()
            await receive(*args)

        monkeypatch.setattr(receiver, "receive", slow)
        async with consuming(driver, receiver):
            await fire(driver, 1)
            await began.wait()
            asyncio.get_running_loop().call_later(0.05, may_end.set)

        assert receiver.names == ["alert0"]
        await eventually(lambda: is_acknowledged(driver), "it is acknowledged")


class Silent(Client):
    """Keeps the sizes of requests for alerts."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def publish(self, subject: str, payload: bytes = b"", *_: Any, **__: Any) -> None:
        self.asked.append(json.loads(payload)["batch"])


async def test_more_is_asked_for_when_a_request_ends_and_not_when_the_broker_cannot_deliver() -> None:
    client = Silent()
    nothing: Any = None
    consumer = AlertConsumer(client, nothing, nothing, alert_turns(), IN_FLIGHT)

    async def hear(status: str, **headers: str) -> None:
        await consumer._on_message(Msg(client, "_INBOX.1", "", b"", {"Status": status, **headers}))

    await consumer._ask()
    for status in ("503", "409", "404"):
        await hear(status)
    assert client.asked == [REQUESTED]

    await hear("408", **{LEFT: str(REQUESTED)})
    await hear("408")
    assert client.asked == [REQUESTED] * 3
    await consumer._stop()
