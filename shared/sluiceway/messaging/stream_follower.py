"""Follow a stream: the last message of every subject, then each new one, in order, across any outage.

nats-py's ordered consumer receives nothing for seconds after a restart of the broker, and never gets back
what its queue dropped. Here a new consumer follows each gap and each reconnect, and a consumer that says
nothing while the broker answers. It starts at the last record that was delivered, which tells whether the
history is still the same: a stream that was restored from an older copy ends before it, or holds another
message there.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Self

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header
from nats.js.errors import APIError
from nats.nuid import NUID

from ..backoff import Backoff
from ..errors import Unavailable, error_text
from ..repeated_logs import RepeatedLogs
from ..tasks import cancel_and_wait
from ..telemetry import metrics
from .connection import Connection
from .jetstream_api import CONSUMERS_LIMIT, last_sequence
from .shared_request import SharedRequest
from .stream_records import START, DeliveryInfo, Position, Record

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
#: After this silence a follower is not current, and looks whether its consumer is lost.
SILENCE_MAX_SECONDS = 3 * HEARTBEAT_SECONDS
#: How often a follower notes that nothing was heard. A process that is busy for longer than that notes it
#: once: what was sent meanwhile waits in its socket, and counts as heard.
LISTEN_SECONDS = HEARTBEAT_SECONDS / 2
SILENT_NOTES_MAX = round(SILENCE_MAX_SECONDS / LISTEN_SECONDS)
#: For the answer to a ping, which comes after everything that the broker sent before.
PONG_SECONDS = 1.0
#: After so much work on records, others have their turn.
TURN_SECONDS = 0.01
#: The broker removes a consumer without a listener after this time.
INACTIVE_SECONDS = 30.0
#: After this time without a record, the end of a stream that is waited for may have been removed, unless
#: records wait in this process.
NOTHING_ARRIVES_SECONDS = 1.0
RETRY_FIRST_SECONDS = 0.02
RETRY_MAX_SECONDS = 1.0
#: All followers lose a broker at the same moment.
RETRY_JITTER = 0.5


class Follower:
    """Calls `on_record` with every record, in order, once each, while the block runs.

    `on_record` runs on the event loop and must be quick. `on_reset` is called if all earlier records are
    void, because the stream was recreated or went back, or because nothing proves that it did not; a
    snapshot follows. `on_caught_up` is called at the end of each snapshot.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        subjects: Sequence[str],
        on_record: Callable[[Record], None],
        *,
        on_reset: Callable[[], None] = lambda: None,
        on_caught_up: Callable[[], None] = lambda: None,
        after: Position = START,
        bits_per_second: int | None = None,
        headers_only: bool = False,
        stored_until: Callable[[], int] = lambda: 0,
    ) -> None:
        """`bits_per_second`: how fast the broker may deliver, if others than services write to the stream.

        `headers_only`: records come without their bodies. `stored_until`: the greatest sequence that the
        broker has acknowledged to this process, followed or not.
        """
        self.position = after
        #: How often everything was read from the start again, since what was read before may be void.
        self.resets = 0
        self._connection = connection
        self._stream = stream
        self._subjects = list(subjects)
        self._on_record = on_record
        self._on_reset = on_reset
        self._on_caught_up = on_caught_up
        self._bits_per_second = bits_per_second
        self._headers_only = headers_only
        self._stored_until = stored_until
        self._caught_up = asyncio.Event()
        self._advanced = asyncio.Event()
        self._broken = asyncio.Event()
        self._is_behind = True
        self._expected = 1
        #: How often it was noted that nothing was heard since the last message.
        self._silent_notes = 0
        self._worked_seconds = 0.0
        self._subscription: Subscription | None = None
        self._generation = 0
        self._closing = False
        self._repeated = RepeatedLogs(log)
        #: Whether the next record must be the one at `position`.
        self._is_resuming = False
        #: The end of the stream when it was last read to its end: messages before it may have been removed.
        self._read_until = 0
        self._last_at_start = 0
        self._end = SharedRequest(lambda: last_sequence(connection.replies, stream))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._remove_listener = self._connection.on_reconnect(self._broken.set)
        self._task = asyncio.create_task(self._follow(), name=f"follow {self._stream}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._remove_listener()
        self._closing = True
        self._broken.set()
        if self._task:
            await cancel_and_wait(self._task)

    @property
    def is_caught_up(self) -> bool:
        """Whether the snapshot is complete."""
        return self._caught_up.is_set()

    @property
    def is_current(self) -> bool:
        """Whether everything was delivered, as far as a broker that is still heard has said."""
        is_heard = self._connection.client.is_connected and not self._is_silent
        return self.is_caught_up and is_heard and not (self._is_behind or self._broken.is_set())

    async def caught_up(self) -> None:
        """Return once the snapshot is complete."""
        await self._caught_up.wait()

    def _reach_end(self) -> None:
        self._read_until = max(self._read_until, self._last_at_start)
        self._advanced.set()
        if not self._caught_up.is_set():
            self._caught_up.set()
            self._on_caught_up()

    async def catch_up(self, timeout: float) -> None:
        """Return once every record that the stream holds now was delivered.

        All who call at the same moment cost one request. Raises `Unavailable` if that takes longer than
        `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self.caught_up()
                known = self.position.sequence  # before the request: records arrive meanwhile
                last = await self._end.answer()
                if last < known:
                    self._caught_up.clear()
                    self._restart(f"the stream {self._stream} ends at {last}, and message {known} was read")
                    await self.caught_up()
                while max(self.position.sequence, self._read_until) < last:
                    await self._advance()
        except (NatsError, TimeoutError) as error:
            raise Unavailable(
                f"cannot read the stream {self._stream} to its end: {error_text(error)}"
            ) from error

    async def _advance(self) -> None:
        """Wait for a record; if none comes, look whether the end of the stream was removed."""
        known = self.position
        self._advanced.clear()
        try:
            async with asyncio.timeout(NOTHING_ARRIVES_SECONDS):
                await self._advanced.wait()
        except TimeoutError:
            if await self._nothing_waits() and self.position == known:
                self._broken.set()
                await self._advanced.wait()

    async def count_messages(self) -> int:
        """Return how many messages the stream holds; raises `Unavailable` if the broker does not say."""
        try:
            return (await self._connection.js.stream_info(self._stream)).state.messages
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot look at {self._stream}: {error_text(error)}") from error

    def read_again(self, why: str) -> None:
        """Read the stream from the start: what was read is void, although the stream did not go back."""
        self._read_again(why)
        self._broken.set()

    async def _follow(self) -> None:
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, jitter=RETRY_JITTER)
        while not self._closing:
            self._broken.clear()
            self._is_behind = True
            try:
                async with self._consumer():
                    backoff.reset()
                    await self._broken.wait()
            except (NatsError, TimeoutError, OSError) as error:
                self._log_failure(error)
                await asyncio.sleep(backoff.next_seconds())

    def _log_failure(self, error: Exception) -> None:
        """Log why the stream cannot be followed; as a warning if that lasts until somebody acts."""
        if isinstance(error, APIError) and error.err_code == CONSUMERS_LIMIT:
            self._repeated.warning(
                error.err_code,
                "cannot follow the stream %s, trying again: it takes no more consumers; raise max_consumers "
                "of the stream or of its account",
                self._stream,
            )
        else:
            text = error_text(error)
            self._repeated.info(text, "cannot follow the stream %s, trying again: %s", self._stream, text)

    @contextlib.asynccontextmanager
    async def _consumer(self) -> AsyncIterator[None]:
        await self._check_history()
        self._expected, self._generation = 1, self._generation + 1
        client = self._connection.client
        inbox = client.new_inbox()
        self._subscription = subscription = await client.subscribe(
            inbox, cb=self._receiver(self._generation), pending_msgs_limit=0, pending_bytes_limit=0
        )
        name = NUID().next().decode()
        try:
            info = await self._connection.js.add_consumer(self._stream, self._config(name, inbox))
            if not info.num_pending:
                self._is_behind = False
            if not info.num_pending and not (info.delivered and info.delivered.consumer_seq):
                self._receive_nothing()
            self._silent_notes = 0
            listening = asyncio.create_task(self._listen(), name=f"listen for {self._stream}")
            try:
                yield
            finally:
                await cancel_and_wait(listening)
        finally:
            await self._remove_consumer(subscription, name)

    async def _check_history(self) -> None:
        """Start over if the stream cannot be the one that was followed."""
        stored = self._stored_until()  # before the request: more may be stored meanwhile
        info = await self._connection.js.stream_info(self._stream)
        created, last = str(info.created), info.state.last_seq
        self._last_at_start = last
        known = max(self.position.sequence, stored)
        if self.position.sequence and self.position.created != created:
            self._start_over("it was recreated")
        elif last < known:
            self._start_over(f"it ends at message {last}", known)
        elif self.position.sequence and not self.position.time_ms:
            self._read_again("an older version did not store what tells histories apart")
        self.position = self.position._replace(created=created)
        self._is_resuming = self.position.sequence > 0

    def _start_over(self, what: str, known: int | None = None) -> None:
        """Take the stream for a new history.

        `known`: the last message of the old one, if the new one ends before that.
        """
        lost = None if known is None else known - self._last_at_start
        metrics.HISTORY_BREAKS.labels(self._stream).inc()
        metrics.HISTORY_LOST.labels(self._stream).set(lost or 0)
        log.error(
            "the stream %s went back: %s; this process had read or stored message %s%s; "
            "reading it from the start",
            self._stream,
            what,
            known or self.position.sequence,
            "" if lost is None else f", {lost} messages later",
        )
        self._forget()

    def _read_again(self, why: str) -> None:
        log.info("reading the stream %s from the start: %s", self._stream, why)
        self._forget()

    def _forget(self) -> None:
        self._caught_up.clear()
        self._read_until = 0
        self.resets += 1
        self._on_reset()
        self.position = Position(self.position.created, 0)

    def _config(self, name: str, inbox: str) -> ConsumerConfig:
        resumed = self.position.sequence > 0
        return ConsumerConfig(
            name=name,
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if resumed else DeliverPolicy.LAST_PER_SUBJECT,
            opt_start_seq=self.position.sequence if resumed else None,
            filter_subject=self._subjects[0] if len(self._subjects) == 1 else None,
            filter_subjects=self._subjects if len(self._subjects) > 1 else None,
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            flow_control=True,
            rate_limit_bps=self._bits_per_second,
            headers_only=self._headers_only or None,
            idle_heartbeat=HEARTBEAT_SECONDS,
            inactive_threshold=INACTIVE_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )

    @property
    def _is_silent(self) -> bool:
        return self._silent_notes >= SILENT_NOTES_MAX

    async def _listen(self) -> None:
        """Follow with a new consumer if the broker answers, and says nothing of this one.

        If it does not answer, no consumer could be created: its next word, or a reconnect, is waited for.
        """
        while True:
            await asyncio.sleep(LISTEN_SECONDS)
            self._silent_notes += 1
            if self._silent_notes == SILENT_NOTES_MAX:
                log.warning("no message or heartbeat of %s for %g s", self._stream, SILENCE_MAX_SECONDS)
            if self._is_silent and await self._nothing_waits() and self._is_silent:
                self._restart("its consumer says nothing, although the broker answers")

    async def _nothing_waits(self) -> bool:
        """Return whether everything that the broker has sent by now was received.

        Its answer to a ping comes after what it has sent before. False if it does not answer in time.
        """
        if not self._connection.client.is_connected:
            return False
        try:
            await self._connection.client.flush(timeout=PONG_SECONDS)  # type: ignore[arg-type]
        except (NatsError, TimeoutError, OSError):
            return False
        return self._subscription is not None and not self._subscription.pending_msgs

    async def _remove_consumer(self, subscription: Subscription, consumer: str) -> None:
        with contextlib.suppress(NatsError, TimeoutError, OSError):
            await subscription.unsubscribe()
        if self._closing and self._connection.client.is_connected:
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                await self._connection.js.delete_consumer(self._stream, consumer)

    def _receiver(self, generation: int) -> Callable[[Msg], Awaitable[None]]:
        clock = asyncio.get_running_loop().time

        async def receive(message: Msg) -> None:
            if generation != self._generation or self._broken.is_set():
                return
            self._silent_notes = 0
            if message.headers and Header.STATUS.value in message.headers:
                await self._receive_status(message)
                return
            began = clock()
            self._receive_record(message)
            self._worked_seconds += clock() - began
            if self._worked_seconds > TURN_SECONDS:
                # nats-py takes message after message from its queue without a pause.
                self._worked_seconds = 0.0
                await asyncio.sleep(0)

        return receive

    async def _receive_status(self, message: Msg) -> None:
        headers = message.headers or {}
        if message.reply:
            await message.respond(b"")
        elif stalled := headers.get(Header.CONSUMER_STALLED.value):
            await self._connection.client.publish(stalled)
        last = headers.get(Header.LAST_CONSUMER.value)
        if last is not None and int(last) >= self._expected:
            self._restart(f"{int(last) - self._expected + 1} records did not arrive")

    def _receive_record(self, message: Msg) -> None:
        delivery = DeliveryInfo.of(message.reply)
        if delivery.consumer_sequence != self._expected:
            self._restart(f"expected record {self._expected}, got {delivery.consumer_sequence}")
            return
        self._expected += 1
        record = Record(
            message.subject, delivery.stream_sequence, delivery.time_ms, message.data, message.headers or {}
        )
        if not self._is_resuming:
            self._deliver(record)
        elif not self._resume_at(record):
            return
        if not delivery.pending:
            self._is_behind = False
            self._reach_end()
        self._advanced.set()

    def _deliver(self, record: Record) -> None:
        self.position = Position(self.position.created, record.sequence, record.time_ms)
        try:
            self._on_record(record)
        except Exception:  # an internal error with one record must not stop the others
            log.exception("internal error while handling record %s of %s", record.sequence, self._stream)

    def _resume_at(self, record: Record) -> bool:
        """Return whether the first record is the one at `position`; otherwise start over."""
        self._is_resuming = False
        known = self.position
        if record.sequence == known.sequence and record.time_ms == known.time_ms:
            return True
        if record.sequence == known.sequence:
            self._start_over("it holds another message there")
        else:
            self._read_again(f"message {known.sequence} is not there any more")
        self._broken.set()
        return False

    def _receive_nothing(self) -> None:
        """Handle that the stream holds nothing at or after `position`."""
        if self._is_resuming:
            self._is_resuming = False
            self._read_again(f"message {self.position.sequence} is not there any more")
            self._broken.set()
        else:
            self._reach_end()

    def _restart(self, reason: str) -> None:
        log.warning("following %s with a new consumer: %s", self._stream, reason)
        self._broken.set()
