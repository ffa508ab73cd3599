"""The consumer that delivers alerts: a request for the next ones always waits at the broker.

FastStream's own loop asks for each alert alone, and does not notice if the consumer is gone.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, Header
from nats.js.errors import NotFoundError

from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import ALERT_BYTES_MAX, Alert
from sluiceway.errors import Unavailable, error_text
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.delivery import InvalidMessage, decode_json, settle, subscribed
from sluiceway.messaging.jetstream_api import API
from sluiceway.messaging.stream_records import DeliveryInfo
from sluiceway.pipelines import refusals

from . import metrics
from .fair_turns import FairTurns, NoTurn

log = logging.getLogger(__name__)

CHECK_EVERY_SECONDS = 5.0
#: An alert that a monitor received, but died before it answered, is delivered again after this time.
ACK_WAIT_SECONDS = 5.0
#: Before an alert that got no turn is delivered again: the stream keeps it, unless newer ones evict it.
HANDED_BACK_SECONDS = 1.0
#: Memory of an alert that waits, beside its bytes, and that of a header.
WAITING_ALERT_BYTES = 8 * 1024
HEADER_BYTES = 256
#: Alerts that the broker may send without being asked again; it is asked once so few of them are left.
REQUESTED = 16
REQUESTED_AGAIN = 8
#: A request ends after this time. One that is under way when the broker restarts gets no answer for so long.
REQUEST_SECONDS = 1.0
#: For alerts that are being handled to end when the monitor stops; the others are delivered again.
STOP_SECONDS = 2.0

#: The status of a request whose time is over, and the header with how many alerts were left of it.
REQUEST_HAS_ENDED = "408"
LEFT = "Nats-Pending-Messages"
NEXT = f"{API}.CONSUMER.MSG.NEXT.{subjects.ALERTS_STREAM}.{subjects.MONITOR_DURABLE}"

Receive = Callable[[Alert, str, int, int], Awaitable[None]]


class AlertConsumer:
    """Takes alerts from the stream, each in the turn of its source."""

    def __init__(
        self, client: Client, receive: Receive, dead_letters: DeadLetters, turns: FairTurns, in_flight: int
    ) -> None:
        """`receive` is called with an alert, and with subject, sequence and time of its message in ALERTS.

        `in_flight`: alerts that are delivered and not answered yet, over all monitors.
        """
        self._client = client
        self._receive = receive
        self._dead_letters = dead_letters
        self._turns = turns
        self._in_flight = in_flight
        self._inbox = ""
        #: How many alerts may still come without another request.
        self._requested = 0
        self._asks_again: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._handling: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take alerts while the block runs; then let what is being handled end."""
        await self._create_consumer()
        self._inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(self._inbox, cb=self._on_message)
        await subscribed(self._client)
        await self._ask()
        try:
            yield
        finally:
            self._is_stopping = True
            if self._asks_again:
                self._asks_again.cancel()
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()
            await self._stop()

    async def _create_consumer(self) -> None:
        """Create the consumer that all monitors share, unless it exists."""
        config = ConsumerConfig(ack_wait=ACK_WAIT_SECONDS, max_ack_pending=self._in_flight)
        created = await self._client.jetstream().pull_subscribe(
            subjects.ALERTS, durable=subjects.MONITOR_DURABLE, stream=subjects.ALERTS_STREAM, config=config
        )
        await created.unsubscribe()

    async def _ask(self) -> None:
        """Ask for more alerts, and again if the broker does not say in time that the request has ended."""
        if self._is_stopping:
            return
        count, self._requested = REQUESTED - self._requested, REQUESTED
        if self._asks_again:
            self._asks_again.cancel()
        loop = asyncio.get_running_loop()
        self._asks_again = loop.call_later(2 * REQUEST_SECONDS, self._forget_requests)
        request = {"batch": count, "expires": int(REQUEST_SECONDS * 1e9)}
        with contextlib.suppress(NatsError):  # asks again after its time, once the connection is back
            await self._client.publish(NEXT, json.dumps(request).encode(), reply=self._inbox)

    def _forget_requests(self) -> None:
        self._requested = 0
        self._start(self._ask())

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get(Header.STATUS.value)
        if status == REQUEST_HAS_ENDED:
            left = int(headers.get(LEFT, REQUESTED))
            self._requested = max(0, self._requested - left)
        elif status is not None:  # the broker cannot deliver now; to ask again immediately would not help
            return
        else:
            self._requested = max(0, self._requested - 1)
            self._start(self._handle(message))
        if self._requested <= REQUESTED_AGAIN:
            await self._ask()

    async def _handle(self, message: Msg) -> None:
        """Wait for the turn of an alert's source, as bytes, and handle it; or hand it back."""
        sender = subjects.parse_sender(message.subject)
        try:
            with in_progress(message, ACK_WAIT_SECONDS / 3):
                async with self._turns.turn(sender, _size_bytes(message)):
                    await settle(message, self._read(message), self._dead_letters)
        except NoTurn:
            metrics.ALERTS.labels("handed_back").inc()
            with contextlib.suppress(NatsError):
                await message.nak(delay=HANDED_BACK_SECONDS)
        except Exception as error:  # it is delivered again
            log.error("cannot answer an alert on %s now: %s", message.subject, error_text(error))

    async def _read(self, message: Msg) -> None:
        if len(message.data) > ALERT_BYTES_MAX:
            raise InvalidMessage(refusals.too_large(len(message.data), ALERT_BYTES_MAX))
        alert, delivery = decode_json(Alert, message.data), DeliveryInfo.of(message.reply)
        await self._receive(alert, message.subject, delivery.stream_sequence, delivery.time_ms)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _stop(self) -> None:
        if self._handling:
            await asyncio.wait(self._handling, timeout=STOP_SECONDS)
        for task in self._handling:
            task.cancel()


async def watch_alert_consumer(js: JetStreamContext) -> None:
    """Raise `Unavailable` once the consumer was deleted; a new process creates it again.

    It then delivers the alerts of the stream again, which is harmless: a command has the same id each time.
    """
    while True:
        await asyncio.sleep(CHECK_EVERY_SECONDS)
        try:
            await js.consumer_info(subjects.ALERTS_STREAM, subjects.MONITOR_DURABLE)
        except NotFoundError as error:
            consumer = f"the consumer {subjects.MONITOR_DURABLE} of the stream {subjects.ALERTS_STREAM}"
            raise Unavailable(f"{consumer} was deleted, so no alert arrives") from error
        except (NatsError, TimeoutError) as error:
            log.debug("cannot look at the consumer of alerts now: %s", error_text(error))


def _size_bytes(message: Msg) -> int:
    headers = message.headers or {}
    header_bytes = sum(len(name) + len(value) + HEADER_BYTES for name, value in headers.items())
    return len(message.data) + header_bytes + WAITING_ALERT_BYTES


@contextmanager
def in_progress(message: Msg, every_seconds: float) -> Iterator[None]:
    """Keep the broker from delivering a message again while the block runs."""
    loop, telling = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    timer: asyncio.TimerHandle

    async def tell() -> None:
        with contextlib.suppress(NatsError):  # the connection comes back, or the message is delivered again
            await message.in_progress()

    def tell_again() -> None:
        nonlocal timer
        task = asyncio.ensure_future(tell())
        telling.add(task)
        task.add_done_callback(telling.discard)
        timer = loop.call_later(every_seconds, tell_again)

    timer = loop.call_later(every_seconds, tell_again)
    try:
        yield
    finally:
        timer.cancel()
