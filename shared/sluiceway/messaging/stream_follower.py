"""Follow a stream: the last message of every subject, then each new one, in order, across any outage.

A new consumer follows each gap and each reconnect, and a consumer that says nothing while the broker
answers. It starts at the last record that was delivered, which tells whether the history is still the same.
What is followed may be moved to another stream: then that is read from the start.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo, StreamInfo
from nats.js.errors import APIError

from ..backoff import Backoff
from ..errors import Unavailable, error_text
from ..repeated_logs import RepeatedLogs
from ..tasks import cancel_and_wait
from .connection import Connection
from .history_loss import settled
from .jetstream_api import CONSUMERS_LIMIT, last_sequence
from .shared_request import SharedRequest
from .stream_consumer import Delivery, StreamConsumer
from .stream_history import (
    LostPlace,
    StreamPlace,
    StreamState,
    lost_at_record,
    lost_in_stream,
    lost_record,
    report_lost_place,
)
from .stream_records import START, Position, Record

log = logging.getLogger(__name__)

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
        find: Callable[[], Awaitable[StreamPlace]] | None = None,
    ) -> None:
        """`bits_per_second`: how fast the broker may deliver, if others than services write to the stream.

        `headers_only`: records come without their bodies. `stored_until`: the greatest sequence that the
        broker has acknowledged to this process, followed or not. `find` returns where to follow now; it
        raises errors of nats-py. Without it, that is always `stream`.
        """
        self.position = after
        #: How often everything was read from the start again, since what was read before may be void.
        self.resets = 0
        self._connection = connection
        self._stream = stream
        self._find = find
        self._delivery = Delivery(list(subjects), bits_per_second, headers_only)
        self._on_record = on_record
        self._on_reset = on_reset
        self._on_caught_up = on_caught_up
        self._stored_until = stored_until
        self._caught_up = asyncio.Event()
        self._advanced = asyncio.Event()
        self._broken = asyncio.Event()
        self._is_behind = True
        self._consumer: StreamConsumer | None = None
        self._closing = False
        self._repeated = RepeatedLogs(log)
        #: Whether the next record must be the one at `position`.
        self._is_resuming = False
        #: The end of the stream when it was last read to its end: messages before it may have been removed.
        self._read_until = 0
        #: Where the stream ended before the consumer was made, and its leader then, if it had one.
        self._last_at_start = 0
        self._leader: str | None = None
        #: Whether the consumer reads the leader's replica. Another one may end earlier.
        self._is_at_leader = True
        self._end = SharedRequest(lambda: last_sequence(connection.replies, self._stream))
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
        is_heard = self._connection.client.is_connected and not (self._consumer and self._consumer.is_silent)
        return self.is_caught_up and is_heard and not (self._is_behind or self._broken.is_set())

    async def caught_up(self) -> None:
        """Return once the snapshot is complete."""
        await self._caught_up.wait()

    def _reach_end(self, sequence: int) -> None:
        """Handle that the consumer has nothing more up to a sequence.

        If that is before the end of the stream, its replica is behind, and the rest will come.
        """
        if sequence < self._last_at_start:
            return
        self._is_behind = False
        self._read_until = max(self._read_until, sequence)
        self._advanced.set()
        if not self._caught_up.is_set():
            self._caught_up.set()
            self._on_caught_up()

    async def catch_up(self, timeout: float, at_least: int = 0) -> None:
        """Return once every record that the stream holds now was delivered.

        `at_least`: where a better broker said that the stream ends. All who call at the same moment cost one
        request. Raises `Unavailable` if that takes longer than `timeout` seconds, or if the broker that
        answers may have been replaced as the leader.
        """
        try:
            async with asyncio.timeout(timeout):
                await self.caught_up()
                known = self.position.sequence  # before the request: records arrive meanwhile
                last = await self._end.answer()
                if last < known:
                    self._caught_up.clear()
                    ends = f"it ends at {last}, and message {known} was read"
                    log.warning("following %s with a new consumer: %s", self._stream, ends)
                    self._broken.set()
                    await self.caught_up()
                    last = self._last_at_start
                while max(self.position.sequence, self._read_until) < max(last, at_least):
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
            if self._consumer and await self._consumer.nothing_waits() and self.position == known:
                self._broken.set()
                await self._advanced.wait()

    async def settled_info(
        self, is_loss: Callable[[StreamInfo], bool], subject: str | None = None
    ) -> StreamInfo:
        """Return what the broker says of the stream, and of a subject; a loss only if it is not just behind.

        That takes ten seconds on a cluster. Raises `Unavailable` if the broker does not say.
        """
        try:
            return await settled(lambda: self._look(subject), is_loss)
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot look at {self._stream}: {error_text(error)}") from error

    async def _look(self, subject: str | None = None) -> StreamInfo:
        return await self._connection.js.stream_info(self._stream, subjects_filter=subject)

    def read_again(self, why: str) -> None:
        """Read the stream from the start: what was read is void, although the stream did not go back."""
        self._start_over(LostPlace(why))
        self._broken.set()

    async def _follow(self) -> None:
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, jitter=RETRY_JITTER)
        while not self._closing:
            self._broken.clear()
            self._is_behind = True
            try:
                place = await self._find_place()
                await self._check_history(place)
                await self._consume(place, backoff)
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

    async def _find_place(self) -> StreamPlace:
        return await self._find() if self._find else StreamPlace(self._stream)

    async def _consume(self, place: StreamPlace, backoff: Backoff) -> None:
        """Follow with one consumer until something is missing.

        The broker makes consumers also for subjects that a stream does not hold. So the place is
        looked up again when the consumer exists: from then on it falls silent if its stream is deleted.
        """
        self._consumer = consumer = StreamConsumer(
            self._connection,
            self._stream,
            self._delivery,
            self._receive_record,
            self._broken,
            self._receive_idle,
        )
        try:
            async with consumer.opened(self.position.sequence) as info:
                if await self._find_place() != place:
                    return
                self._receive_start(info)
                backoff.reset()
                await self._broken.wait()
        finally:
            if self._closing and self._connection.client.is_connected:
                await consumer.delete()

    async def _check_history(self, place: StreamPlace) -> None:
        """Start over if the stream cannot be the one that was followed."""
        self._stream = place.stream
        stored = self._stored_until()  # before the request: more may be stored meanwhile

        def lost_place(info: StreamInfo) -> LostPlace | None:
            return lost_in_stream(self.position, stored, StreamState.of(place, info))

        def went_back(info: StreamInfo) -> bool:
            lost = lost_place(info)
            return lost is not None and lost.went_back

        info = await settled(self._look, went_back)
        state = StreamState.of(place, info)
        self._last_at_start = state.last
        has_replicas = bool(info.cluster and info.cluster.replicas)
        self._leader = info.cluster.leader if info.cluster and has_replicas else None
        self._is_at_leader = not has_replicas  # without a leader, any of them may have answered
        if lost := lost_place(info):
            self._start_over(lost)
        self.position = self.position._replace(created=state.created)
        self._is_resuming = self.position.sequence > 0

    def _start_over(self, lost: LostPlace) -> None:
        report_lost_place(self._stream, lost)
        self._forget()

    def _forget(self) -> None:
        self._caught_up.clear()
        self._read_until = 0
        self.resets += 1
        self._on_reset()
        self.position = Position(self.position.created, 0)

    def _receive_start(self, info: ConsumerInfo) -> None:
        """Handle that the stream holds nothing at or after `position`, if so.

        A record that came since may have made everything void.
        """
        if self._broken.is_set():
            return
        if self._leader and info.cluster and info.cluster.leader == self._leader:
            self._is_at_leader = True
        is_empty = not (info.num_pending or (info.delivered and info.delivered.consumer_seq))
        if is_empty and self._is_at_leader:
            self._receive_idle(self._last_at_start)

    def _receive_idle(self, looked_until: int) -> None:
        """Handle that the consumer has found nothing more up to a sequence."""
        if self._broken.is_set():
            return
        if looked_until >= self._last_at_start and self._is_resuming:
            self._is_resuming = False
            self._start_over(lost_record(self.position))
            self._broken.set()
        else:
            self._reach_end(looked_until)

    def _receive_record(self, record: Record, pending: int) -> None:
        if not self._is_resuming:
            self._deliver(record)
        elif not self._resume_at(record):
            return
        if not pending:
            self._reach_end(max(record.sequence, self._last_at_start if self._is_at_leader else 0))
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
        lost = lost_at_record(self.position, record)
        if lost:
            self._start_over(lost)
            self._broken.set()
        return lost is None
