"""How a consumer handles what arrives: in order, in turns, without being stopped by one message."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.errors import OutboundBufferLimitError

from sluiceway.messaging import stream_consumer
from sluiceway.messaging.message_size import OutgoingMessage
from sluiceway.messaging.nats_client import RawMessage
from sluiceway.messaging.stream_consumer import Delivery, StreamConsumer
from sluiceway.messaging.stream_records import Record
from tests.support.waiting import eventually

DELIVERY = Delivery(["letters.>"], None, headers_only=False)
FLOW = "$JS.FC.LETTERS.consumer.1"


class Client:
    """A client to which no broker is connected."""

    is_connected = True

    def __init__(self, *, is_full: bool = False) -> None:
        self.published: list[str] = []
        self._is_full = is_full

    def publish_now(self, message: OutgoingMessage) -> None:
        if self._is_full:
            raise OutboundBufferLimitError
        self.published.append(message.subject)

    async def flush(self, timeout: float) -> None:
        """Take the broker's answer for granted."""


class Consumed:
    """A consumer that is open, and what it has handled."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or Client()
        self.sequences: list[int] = []
        self.broken = asyncio.Event()
        connection = cast(Any, SimpleNamespace(client=self.client))
        self.consumer = StreamConsumer(connection, "LETTERS", DELIVERY, self.on_record, self.broken)
        self.consumer._subscription = cast(Any, object())

    def on_record(self, record: Record, pending: int) -> None:
        self.sequences.append(record.sequence)

    def receive(self, *messages: RawMessage) -> None:
        for message in messages:
            self.consumer._receive(message)


def a_record(number: int) -> RawMessage:
    return RawMessage("letters.a", b"", f"$JS.ACK.LETTERS.consumer.1.{number}.{number}.1000000.0")


def flow_control() -> RawMessage:
    return RawMessage("inbox", b"", FLOW, {"Status": "100", "Description": "FlowControl Request"})


def a_stalled_heartbeat() -> RawMessage:
    return RawMessage("inbox", b"", "", {"Status": "100", "Nats-Consumer-Stalled": FLOW})


async def test_nothing_is_handled_while_it_is_read() -> None:
    """What comes behind on the connection, such as the answer to a ping, does not wait for it."""
    consumed = Consumed()

    consumed.receive(a_record(1), a_record(2))

    assert consumed.sequences == []
    assert not await consumed.consumer.nothing_waits()
    await eventually(lambda: consumed.sequences == [1, 2], "it is handled")
    assert await consumed.consumer.nothing_waits()


async def test_others_have_a_turn_while_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_consumer, "TURN_SECONDS", 0.0)
    consumed = Consumed()
    consumed.receive(*map(a_record, range(1, 11)))

    handled = []
    while len(consumed.sequences) < 10:
        handled.append(len(consumed.sequences))
        await asyncio.sleep(0)

    assert handled == list(range(10))


async def test_the_broker_may_send_more_once_what_came_before_is_handled() -> None:
    consumed = Consumed()

    consumed.receive(a_record(1), flow_control())
    assert consumed.client.published == []
    await eventually(lambda: consumed.client.published, "the flow goes on")

    assert consumed.sequences == [1]
    assert consumed.client.published == [FLOW]
    consumed.receive(a_stalled_heartbeat())
    await eventually(lambda: consumed.client.published == [FLOW, FLOW], "a heartbeat asks again")


async def test_a_flow_that_cannot_be_acknowledged_now_stops_nothing() -> None:
    consumed = Consumed(Client(is_full=True))

    consumed.receive(flow_control(), a_record(1))

    await eventually(lambda: consumed.sequences == [1], "what follows is handled")
    assert not consumed.broken.is_set()


async def test_a_message_that_no_consumer_delivers_stops_nothing() -> None:
    consumed = Consumed()

    consumed.receive(RawMessage("letters.a", b"", "not.a.delivery"), a_record(1), a_record(2))

    await eventually(lambda: consumed.sequences == [1, 2], "the others are handled")


async def test_nothing_more_is_handled_after_a_record_that_is_missing() -> None:
    consumed = Consumed()

    consumed.receive(a_record(1), a_record(3), a_record(2))
    await eventually(consumed.broken.is_set, "it is noticed")
    await eventually(consumed.consumer.nothing_waits, "all is dropped")

    assert consumed.sequences == [1]
