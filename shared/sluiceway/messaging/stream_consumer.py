"""A consumer of a stream: its records in order, until one is missing or nothing more is heard.

nats-py's ordered consumer receives nothing for seconds after a restart of the broker, and never gets back
what its queue dropped. Its queue and its task of a subscription also cost as much as reading a message: what
arrives waits in a queue of our own here, and is handled in turns of the loop.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, Header
from nats.nuid import NUID

from ..tasks import cancel_and_wait
from .connection import Connection
from .message_size import OutgoingMessage
from .nats_client import RawMessage
from .stream_records import DeliveryInfo, Record

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
#: After this silence a follower is not current, and looks whether its consumer is lost.
SILENCE_MAX_SECONDS = 3 * HEARTBEAT_SECONDS
#: How often it is noted that nothing was heard. A process that is busy for longer than that notes it once:
#: what was sent meanwhile waits in its socket, and counts as heard.
LISTEN_SECONDS = HEARTBEAT_SECONDS / 2
SILENT_NOTES_MAX = round(SILENCE_MAX_SECONDS / LISTEN_SECONDS)
#: For the answer to a ping, which comes after everything that the broker sent before.
PONG_SECONDS = 1.0
#: After so much work on records, others have their turn.
TURN_SECONDS = 0.01
#: The broker removes a consumer without a listener after this time.
INACTIVE_SECONDS = 30.0


class Delivery(NamedTuple):
    """What the broker is to deliver, and how."""

    subjects: list[str]
    #: How fast it may deliver, if others than services write to the stream.
    bits_per_second: int | None
    #: Records come without their bodies.
    headers_only: bool


class StreamConsumer:
    """Delivers the records of one consumer until `broken` is set, which it sets if something is missing.

    `on_record` is called with each record, and how many follow it now; `on_idle` with how far the consumer
    has looked in its replica of the stream, if nothing more is there. The replica may be behind.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        delivery: Delivery,
        on_record: Callable[[Record, int], None],
        broken: asyncio.Event,
        on_idle: Callable[[int], object] = lambda sequence: None,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._delivery = delivery
        self._on_record = on_record
        self._on_idle = on_idle
        self._broken = broken
        self._expected = 1
        #: How often it was noted that nothing was heard since the last message.
        self._silent_notes = 0
        #: What has arrived; the broker stops at a window of some 32 MB until `_acknowledge` goes on.
        self._waiting: deque[RawMessage] = deque()
        self._has_turn = False
        self._subscription: Subscription | None = None
        self._name = NUID().next().decode()

    @property
    def is_silent(self) -> bool:
        """Whether nothing was heard for too long."""
        return self._silent_notes >= SILENT_NOTES_MAX

    @contextlib.asynccontextmanager
    async def opened(self, first: int) -> AsyncIterator[ConsumerInfo]:
        """Deliver while the block runs, from sequence `first` on; 0: the last message of each subject."""
        client = self._connection.client
        inbox = client.new_inbox()
        self._subscription = subscription = await client.receive_now(inbox, self._receive)
        try:
            info = await self._connection.js.add_consumer(self._stream, self._config(inbox, first))
            self._silent_notes = 0
            listening = asyncio.create_task(self._listen(), name=f"listen for {self._stream}")
            try:
                yield info
            finally:
                await cancel_and_wait(listening)
        finally:
            self._subscription = None
            self._waiting.clear()
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                await subscription.unsubscribe()

    async def delete(self) -> None:
        """Let the broker forget the consumer now, instead of some time after its last listener."""
        with contextlib.suppress(NatsError, TimeoutError, OSError):
            await self._connection.js.delete_consumer(self._stream, self._name)

    async def nothing_waits(self) -> bool:
        """Return whether everything that the broker has sent by now was received.

        Its answer to a ping comes after what it has sent before. False if it does not answer in time.
        """
        if not self._connection.client.is_connected:
            return False
        try:
            await self._connection.client.flush(timeout=PONG_SECONDS)  # type: ignore[arg-type]
        except (NatsError, TimeoutError, OSError):
            return False
        return self._subscription is not None and not self._waiting

    def _config(self, inbox: str, first: int) -> ConsumerConfig:
        subjects = self._delivery.subjects
        return ConsumerConfig(
            name=self._name,
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if first else DeliverPolicy.LAST_PER_SUBJECT,
            opt_start_seq=first or None,
            filter_subject=subjects[0] if len(subjects) == 1 else None,
            filter_subjects=subjects if len(subjects) > 1 else None,
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            flow_control=True,
            rate_limit_bps=self._delivery.bits_per_second,
            headers_only=self._delivery.headers_only or None,
            idle_heartbeat=HEARTBEAT_SECONDS,
            inactive_threshold=INACTIVE_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )

    async def _listen(self) -> None:
        """Set `broken` if the broker answers, and says nothing of this consumer.

        If it does not answer, no consumer could be created: its next word, or a reconnect, is waited for.
        """
        while True:
            await asyncio.sleep(LISTEN_SECONDS)
            self._silent_notes += 1
            if self._silent_notes == SILENT_NOTES_MAX:
                log.warning("no message or heartbeat of %s for %g s", self._stream, SILENCE_MAX_SECONDS)
            if self.is_silent and await self.nothing_waits() and self.is_silent:
                self._lose("its consumer says nothing, although the broker answers")

    def _receive(self, message: RawMessage) -> None:
        """Let a message wait for the next turn: while it is handled, nothing else is read."""
        self._waiting.append(message)
        if not self._has_turn:
            self._has_turn = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Handle what waits for as long as one turn may take."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        end = loop.time() + TURN_SECONDS
        while waiting:
            self._handle(waiting.popleft())
            if loop.time() > end:
                break
        self._has_turn = bool(waiting)
        if waiting:
            loop.call_soon(self._take_turn)

    def _handle(self, message: RawMessage) -> None:
        if self._subscription is None or self._broken.is_set():
            return
        self._silent_notes = 0
        try:
            if message.headers and Header.STATUS.value in message.headers:
                self._receive_status(message)
            else:
                self._receive_record(message)
        except Exception:  # an internal error with one message must not stop the others
            log.exception("internal error while handling a message of %s", self._stream)

    def _receive_status(self, message: RawMessage) -> None:
        headers = message.headers or {}
        if flow := message.reply or headers.get(Header.CONSUMER_STALLED.value):
            self._acknowledge(flow)
        last = headers.get(Header.LAST_CONSUMER.value)
        if last is None:
            return
        if int(last) >= self._expected:
            self._lose(f"{int(last) - self._expected + 1} records did not arrive")
        elif Header.CONSUMER_STALLED.value not in headers:
            self._on_idle(int(headers[Header.LAST_STREAM.value]))

    def _acknowledge(self, flow: str) -> None:
        """Let the broker send more; if too much waits to be sent, its next heartbeat asks again."""
        with contextlib.suppress(NatsError):
            self._connection.client.publish_now(OutgoingMessage(flow, b""))

    def _receive_record(self, message: RawMessage) -> None:
        delivery = DeliveryInfo.of(message.reply)
        if delivery.consumer_sequence != self._expected:
            self._lose(f"expected record {self._expected}, got {delivery.consumer_sequence}")
            return
        self._expected += 1
        record = Record(
            message.subject, delivery.stream_sequence, delivery.time_ms, message.data, message.headers or {}
        )
        self._on_record(record, delivery.pending)

    def _lose(self, reason: str) -> None:
        log.warning("following %s with a new consumer: %s", self._stream, reason)
        self._broken.set()
