"""Appends records to AUDIT in the background, so that what is recorded waits for nothing.

A stream that stores nothing stops nobody: records wait in a bounded queue; those that do not fit are counted,
and their number is recorded once the stream stores again.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Self

from nats.errors import Error as NatsError
from nats.js.api import StreamInfo
from nats.js.errors import APIError, NotFoundError
from pydantic import ValidationError

from ..backoff import Backoff
from ..clock import Clock
from ..contracts import subjects
from ..contracts.audit_records import (
    START_OF_CHAIN,
    AuditEvent,
    AuditRecord,
    AuditType,
    ChainEnd,
    link,
)
from ..errors import error_text
from ..repeated_logs import RepeatedLogs
from ..tasks import cancel_and_wait
from ..telemetry import metrics
from .audit_limits import AuditLimits
from .connection import Connection
from .history_loss import settled
from .publishing import EXPECTED_LAST, WRONG_LAST_SEQUENCE

log = logging.getLogger(__name__)

#: Records that wait to be stored.
QUEUE_MAX = 1_000
#: For the acknowledgement of a record, and for the end of the chain.
ANSWER_SECONDS = 2.0
RETRY_FIRST_SECONDS = 0.05
RETRY_MAX_SECONDS = 5.0
#: How often it is checked whether left out records must be counted.
SUMMARY_CHECK_SECONDS = 30.0
#: How long a process that stops waits for its last records.
FLUSH_SECONDS = 2.0


class _Tail(NamedTuple):
    """The last message of a service's subject."""

    sequence: int
    end: ChainEnd


class AuditTrail:
    """Records what one service sees, while the block runs.

    The replicas of a service append to one chain, each on the condition that no other came first.
    """

    def __init__(
        self, connection: Connection, service: str, clock: Clock, limits: AuditLimits | None = None
    ) -> None:
        self._js = connection.js
        self._repeated = RepeatedLogs(log)
        self._service = service
        self.clock = clock
        self._limits = limits or AuditLimits()
        self._queue: deque[AuditEvent] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._tail: _Tail | None = None
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="audit trail")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task
        self._queue.extend(self._limits.due_summaries(all_of_them=True))
        self._is_stopping = True
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await asyncio.wait({self._task})
        await cancel_and_wait(self._task)
        if left := self.unstored:
            metrics.AUDIT_RECORDS_LOST.inc(len(self._queue))
            log.error("%s audit records could not be stored before this process stopped", left)

    @property
    def unstored(self) -> int:
        """How many records are not stored yet, or are lost."""
        return len(self._queue) + self._lost

    def record(self, event: AuditEvent) -> None:
        """Store an event soon; never waits and never fails."""
        if self._limits.admits(event):
            self._put(event)
        else:
            metrics.AUDIT_RECORDS_SUPPRESSED.inc()

    def _put(self, event: AuditEvent) -> None:
        if len(self._queue) >= QUEUE_MAX:
            self._lost += 1
            metrics.AUDIT_RECORDS_LOST.inc()
            return
        self._queue.append(event)
        self._wake.set()

    async def _run(self) -> None:
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, jitter=0.5)
        while True:
            for summary in self._limits.due_summaries():
                self._put(summary)
            if not (self._queue or self._lost):
                if self._is_stopping:
                    return
                await self._sleep(SUMMARY_CHECK_SECONDS)
                continue
            try:
                await self._store_next()
                backoff.reset()
            except (NatsError, TimeoutError) as error:
                seconds = backoff.next_seconds()
                text = error_text(error)
                self._repeated.warning(text, "cannot write to the stream AUDIT, trying again: %s", text)
                await asyncio.sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _store_next(self) -> None:
        """Append the oldest event, or the number of those lost once all others are stored."""
        if self._queue:
            await self._append(self._queue[0], self._queue.popleft)
            return
        lost = self._lost
        event = AuditEvent(
            type=AuditType.LOST,
            time_ms=self.clock(),
            reason=f"{lost} records were lost: the stream did not store them in time",
            count=lost,
        )
        await self._append(event, lambda: None)
        self._lost -= lost

    async def _append(self, event: AuditEvent, on_stored: Callable[[], object]) -> None:
        """Append an event after the newest record, which another replica may have written."""
        tail = self._tail or await self._read_tail()
        data, end = link(event, self._service, tail.end)
        subject = subjects.audit(self._service)
        try:
            ack = await self._js.publish(
                subject, data, headers={EXPECTED_LAST: str(tail.sequence)}, timeout=ANSWER_SECONDS
            )
        except APIError as error:
            if error.err_code not in WRONG_LAST_SEQUENCE:
                raise
            await self._follow_others(tail, end)
        except (NatsError, TimeoutError):
            self._tail = None  # it may be stored: only the end of the chain tells
            with contextlib.suppress(NatsError, TimeoutError):
                if (await self._read_tail()).end == end:
                    on_stored()
                    return
            raise
        else:
            self._tail = _Tail(ack.seq, end)
            metrics.AUDIT_RECORDS.labels(event.type).inc()
            on_stored()

    async def _follow_others(self, known: _Tail, tried: ChainEnd) -> None:
        """Continue after what another replica has written, or after what is left of the stream."""
        tail = await self._read_tail()
        if tail == known:  # a cluster refuses a record while another one is under way
            await asyncio.sleep(RETRY_FIRST_SECONDS)
            return
        if tail.sequence < known.sequence and not await self._is_lost(known):
            self._tail = None  # the broker that has answered was behind
            return
        if tail.end.number < known.end.number or tail.sequence <= known.sequence:
            log.error("the stream AUDIT went back: record %s is not in it any more", known.end.number)
            self._queue.appendleft(
                AuditEvent(
                    type=AuditType.HISTORY_WENT_BACK,
                    time_ms=self.clock(),
                    reason=f"record {known.end.number} with the hash {known.end.hash} was there before",
                    count=max(0, known.end.number - tail.end.number),
                )
            )

    async def _is_lost(self, known: _Tail) -> bool:
        """Return whether the stream ends before a record, and no broker is just behind."""

        def is_shorter(info: StreamInfo) -> bool:
            return info.state.last_seq < known.sequence

        return is_shorter(await settled(lambda: self._js.stream_info(subjects.AUDIT_STREAM), is_shorter))

    async def _read_tail(self) -> _Tail:
        """Read the newest record from the leader of the stream: another replica of it may be behind."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                message = await self._js.get_last_msg(subjects.AUDIT_STREAM, subjects.audit(self._service))
        except NotFoundError as error:
            if error.err_code != MESSAGE_NOT_FOUND:
                raise  # the stream does not exist
            self._tail = _Tail(0, START_OF_CHAIN)
            return self._tail
        self._tail = _Tail(message.seq or 0, _end_of(message.data or b""))
        return self._tail


#: The error code of a stream without a message on a subject.
MESSAGE_NOT_FOUND = 10037


def _end_of(data: bytes) -> ChainEnd:
    """Return the end of the chain in a record; what is not a record breaks the chain, visibly."""
    try:
        record = AuditRecord.model_validate_json(data)
    except ValidationError:
        return START_OF_CHAIN
    return ChainEnd(record.number, record.hash)
