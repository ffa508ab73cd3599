"""Follow a stream: the last message of every subject, then each new one, in order, across any outage.

An own consumer in place of nats-py's ordered one: that is blind for seconds after a restart of the
broker and never repairs what its queue dropped. Here every gap, silence or reconnect ends in a new
consumer that begins behind the last record handed over.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Self

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header
from nats.nuid import NUID

from ..backoff import Backoff
from ..errors import Unavailable, error_text
from ..tasks import cancel_and_wait
from .connection import Connection
from .publishing import DELETIONS, KV_OPERATION

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
#: After this silence the consumer is taken for lost.
SILENCE_MAX_SECONDS = 3 * HEARTBEAT_SECONDS
#: The server removes a consumer that nobody listens to after this time.
ABANDONED_SECONDS = 30.0
#: For catching up before an answer that must be exact.
CATCH_UP_SECONDS = 5.0
RETRY_FIRST_SECONDS = 0.02
RETRY_MAX_SECONDS = 1.0
#: Everyone loses a broker at the same moment.
RETRY_JITTER = 0.5


class Record(NamedTuple):
    """One message of a stream."""

    subject: str
    sequence: int
    time_ms: int
    data: bytes
    headers: Mapping[str, str]

    @property
    def is_deletion(self) -> bool:
        """Whether it is a bucket's marker that the key was deleted."""
        return self.headers.get(KV_OPERATION) in DELETIONS


class Position(NamedTuple):
    """How far a stream was followed. A stream made anew has another `created`."""

    created: str
    sequence: int


START = Position("", 0)


class Follower:
    """Hands every record to `on_record`, in order, each once, while the block runs.

    `on_record` is called on the event loop and must be quick. `on_reset` is called where the
    stream was made anew, so that all that was handed over is void; a snapshot follows. At the end
    of every snapshot `on_caught_up` is called.
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
    ) -> None:
        self.position = after
        self._connection = connection
        self._stream = stream
        self._subjects = list(subjects)
        self._on_record = on_record
        self._on_reset = on_reset
        self._on_caught_up = on_caught_up
        self._caught_up = asyncio.Event()
        self._moved = asyncio.Event()
        self._broken = asyncio.Event()
        self._expected = 1
        self._heard = 0.0
        self._generation = 0
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._forget = self._connection.on_reconnect(self._broken.set)
        self._task = asyncio.create_task(self._follow(), name=f"follow {self._stream}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._forget()
        self._closing = True
        self._broken.set()
        if self._task:
            await cancel_and_wait(self._task)

    @property
    def is_caught_up(self) -> bool:
        """Whether the snapshot is complete."""
        return self._caught_up.is_set()

    async def caught_up(self) -> None:
        """Return once the snapshot is complete."""
        await self._caught_up.wait()

    def _complete(self) -> None:
        if not self._caught_up.is_set():
            self._caught_up.set()
            self._on_caught_up()

    async def reached_end(self, timeout: float) -> None:
        """Return once everything that the stream holds now has been handed over.

        `Unavailable` where that takes longer than `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self.caught_up()
                info = await self._connection.js.stream_info(self._stream)
                while self.position.sequence < info.state.last_seq:
                    self._moved.clear()
                    await self._moved.wait()
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"the stream {self._stream} cannot be read to its end now") from error

    async def _follow(self) -> None:
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, jitter=RETRY_JITTER)
        while not self._closing:
            self._broken.clear()
            try:
                async with self._consumer():
                    backoff.reset()
                    await self._until_broken()
            except (NatsError, TimeoutError, OSError) as error:
                log.info("cannot follow the stream %s, trying again: %s", self._stream, error_text(error))
                await asyncio.sleep(backoff.next_seconds())

    @contextlib.asynccontextmanager
    async def _consumer(self) -> AsyncIterator[None]:
        await self._notice_a_new_stream()
        self._expected, self._generation = 1, self._generation + 1
        client = self._connection.client
        inbox = client.new_inbox()
        subscription = await client.subscribe(
            inbox, cb=self._receiver(self._generation), pending_msgs_limit=0, pending_bytes_limit=0
        )
        name = NUID().next().decode()
        try:
            info = await self._connection.js.add_consumer(self._stream, self._config(name, inbox))
            if not info.num_pending and not (info.delivered and info.delivered.consumer_seq):
                self._complete()
            self._heard = asyncio.get_running_loop().time()
            yield
        finally:
            await self._abandon(subscription, name)

    async def _notice_a_new_stream(self) -> None:
        info = await self._connection.js.stream_info(self._stream)
        created = str(info.created)
        if self.position.created and self.position.created != created:
            log.warning("the stream %s was made anew; reading it from its start", self._stream)
            self._caught_up.clear()
            self._on_reset()
            self.position = START
        self.position = Position(created, self.position.sequence)

    def _config(self, name: str, inbox: str) -> ConsumerConfig:
        resumed = self.position.sequence > 0
        return ConsumerConfig(
            name=name,
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if resumed else DeliverPolicy.LAST_PER_SUBJECT,
            opt_start_seq=self.position.sequence + 1 if resumed else None,
            filter_subject=self._subjects[0] if len(self._subjects) == 1 else None,
            filter_subjects=self._subjects if len(self._subjects) > 1 else None,
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            flow_control=True,
            idle_heartbeat=HEARTBEAT_SECONDS,
            inactive_threshold=ABANDONED_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )

    async def _until_broken(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._broken.is_set() or self._closing):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._broken.wait()
            if loop.time() - self._heard > SILENCE_MAX_SECONDS:
                log.warning("nothing heard of %s for %s s", self._stream, SILENCE_MAX_SECONDS)
                return

    async def _abandon(self, subscription: Subscription, consumer: str) -> None:
        with contextlib.suppress(NatsError, TimeoutError, OSError):
            await subscription.unsubscribe()
        if self._closing and self._connection.client.is_connected:
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                await self._connection.js.delete_consumer(self._stream, consumer)

    def _receiver(self, generation: int) -> Callable[[Msg], Awaitable[None]]:
        async def receive(message: Msg) -> None:
            if generation != self._generation or self._broken.is_set():
                return
            self._heard = asyncio.get_running_loop().time()
            if message.headers and Header.STATUS.value in message.headers:
                await self._control(message)
            else:
                self._take(message)

        return receive

    async def _control(self, message: Msg) -> None:
        headers = message.headers or {}
        if message.reply:
            await message.respond(b"")
        elif stalled := headers.get(Header.CONSUMER_STALLED.value):
            await self._connection.client.publish(stalled)
        last = headers.get(Header.LAST_CONSUMER.value)
        if last is not None and int(last) >= self._expected:
            self._lost(f"{int(last) - self._expected + 1} records were lost on the way")

    def _take(self, message: Msg) -> None:
        place = _DeliveryInfo.of(message.reply)
        if place.consumer_sequence != self._expected:
            self._lost(f"expected record {self._expected}, got {place.consumer_sequence}")
            return
        self._expected += 1
        record = Record(
            message.subject, place.stream_sequence, place.time_ms, message.data, message.headers or {}
        )
        try:
            self._on_record(record)
        except Exception:  # a fault of ours with one record must not keep the others away
            log.exception("could not take record %s of %s", record.sequence, self._stream)
        self.position = Position(self.position.created, record.sequence)
        if not place.pending:
            self._complete()
        self._moved.set()

    def _lost(self, why: str) -> None:
        log.warning("following %s anew: %s", self._stream, why)
        self._broken.set()


class StreamView:
    """What was followed of a stream, kept new while the block runs."""

    follower: Follower

    async def __aenter__(self) -> Self:
        await self.follower.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.follower.__aexit__(*details)

    async def caught_up(self) -> None:
        """Return once all that the stream held at the start is in the view."""
        await self.follower.caught_up()

    async def reached_end(self) -> None:
        """Return once everything stored before this call is in the view; `Unavailable` otherwise."""
        await self.follower.reached_end(CATCH_UP_SECONDS)

    async def has_news(self) -> bool:
        """Catch up with the stream; return whether it held something that the view did not know."""
        known = self.follower.position
        await self.reached_end()
        return self.follower.position != known


class _DeliveryInfo(NamedTuple):
    stream_sequence: int
    consumer_sequence: int
    time_ms: int
    pending: int

    @classmethod
    def of(cls, reply: str) -> "_DeliveryInfo":
        """Read `$JS.ACK.[<domain>.<hash>.]<stream>.<consumer>.<n>.<sseq>.<cseq>.<ns>.<pending>[.<token>]`."""
        tokens = reply.split(".")
        first = 5 if len(tokens) == 9 else 7
        stream, consumer, nanoseconds, pending = (int(token) for token in tokens[first : first + 4])
        return cls(stream, consumer, nanoseconds // 1_000_000, pending)
