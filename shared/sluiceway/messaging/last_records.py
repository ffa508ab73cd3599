"""Read the last record of every subject of a filter once, within bounds: others may write without an end.

A consumer's replica may be behind the leader of its stream. So the leader is asked for the newest record
first, and the reading ends only after it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header
from nats.js.errors import NotFoundError
from nats.nuid import NUID

from ..errors import Unavailable, error_text
from .connection import Connection
from .stream_records import DeliveryInfo, Record

#: A consumer says so often how far it is, if it has nothing to deliver.
HEARTBEAT_SECONDS = 0.2
#: The broker removes a consumer without a listener after this time.
INACTIVE_SECONDS = 5.0
#: Where a heartbeat says up to which message of the stream the consumer has looked.
LAST_STREAM = "Nats-Last-Stream"
#: JetStream's error code for: no message has this subject.
NO_MESSAGE = 10037


class ReadBounds(NamedTuple):
    """How much one reading may take; `bits_per_second` and `seconds` bound the bytes."""

    records: int
    seconds: float
    bits_per_second: int


class TooManyRecords(Unavailable):
    """More subjects than one reading may take."""


async def read_last_records(
    connection: Connection, stream: str, subject: str, on_record: Callable[[Record], None], bounds: ReadBounds
) -> None:
    """Call `on_record` with the last record of every subject, as of this call or later.

    Raises `TooManyRecords`, or `Unavailable` if the end is not reached in time.
    """
    try:
        async with asyncio.timeout(bounds.seconds):
            newest = await _newest_sequence(connection, stream, subject)
            if newest:
                await _Reading(connection, stream, subject, on_record, newest).run(bounds)
    except (NatsError, TimeoutError) as error:
        raise Unavailable(f"cannot read {subject} to its end: {error_text(error)}") from error


async def _newest_sequence(connection: Connection, stream: str, subject: str) -> int:
    """Return the newest sequence of a filter, as the stream's leader knows it; 0 if there is none."""
    try:
        return (await connection.js.get_last_msg(stream, subject)).seq or 0
    except NotFoundError as error:
        if error.err_code != NO_MESSAGE:
            raise
        return 0


class _Reading:
    """One consumer, from its creation to its last record."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        subject: str,
        on_record: Callable[[Record], None],
        newest: int,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._on_record = on_record
        self._newest = newest
        self._received = 0
        self._sequence = 0
        #: How many records there were when the consumer was created.
        self._expected: int | None = None
        self._lost = False
        self._ended = asyncio.Event()

    async def run(self, bounds: ReadBounds) -> None:
        client = self._connection.client
        inbox, name = client.new_inbox(), NUID().next().decode()
        subscription = await client.subscribe(
            inbox, cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0
        )
        try:
            config = self._config(name, inbox, bounds.bits_per_second)
            info = await self._connection.js.add_consumer(self._stream, config)
            delivered = info.delivered.consumer_seq if info.delivered else 0
            self._expected = (info.num_pending or 0) + delivered
            if self._expected > bounds.records:
                raise TooManyRecords(f"{self._subject} has more than {bounds.records} subjects")
            self._end_if_complete()
            await self._ended.wait()
        finally:
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                await subscription.unsubscribe()
            with contextlib.suppress(NatsError, TimeoutError, OSError):  # it goes by itself, but later
                await self._connection.js.delete_consumer(self._stream, name)
        if self._lost:
            raise Unavailable(f"cannot read {self._subject} to its end: some records did not arrive")

    def _config(self, name: str, inbox: str, bits_per_second: int) -> ConsumerConfig:
        return ConsumerConfig(
            name=name,
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            filter_subject=self._subject,
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            rate_limit_bps=bits_per_second,
            idle_heartbeat=HEARTBEAT_SECONDS,
            inactive_threshold=INACTIVE_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )

    async def _receive(self, message: Msg) -> None:
        if self._ended.is_set():
            return
        if message.headers and Header.STATUS.value in message.headers:
            self._receive_heartbeat(message.headers)
            return
        delivery = DeliveryInfo.of(message.reply)
        self._received += 1
        if delivery.consumer_sequence != self._received:
            self._give_up()
            return
        self._sequence = delivery.stream_sequence
        self._on_record(
            Record(
                message.subject,
                delivery.stream_sequence,
                delivery.time_ms,
                message.data,
                message.headers or {},
            )
        )
        self._end_if_complete()

    def _end_if_complete(self) -> None:
        """End after the newest record; those that are written meanwhile come after the expected ones."""
        has_expected = self._expected is not None and self._received >= self._expected
        if has_expected and self._sequence >= self._newest:
            self._ended.set()

    def _receive_heartbeat(self, headers: dict[str, str]) -> None:
        """End if there is nothing to deliver up to the newest record: what expires is not delivered."""
        if int(headers.get(Header.LAST_CONSUMER.value, 0)) > self._received:
            self._give_up()
        elif int(headers.get(LAST_STREAM, 0)) >= self._newest:
            self._ended.set()

    def _give_up(self) -> None:
        self._lost = True
        self._ended.set()
