"""Rejected messages, stored with their reason in DEAD_LETTERS, and counted.

Each sender has a subject of its own there, so that nobody can evict what others have sent, and a rate, so
that nobody can fill the log and the disk.
"""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable

from ..contracts import envelope, subjects
from ..contracts.identifiers import NAME_PATTERN
from ..errors import MessageTooLarge, Unavailable
from ..repeated_logs import RepeatedLogs
from ..telemetry import metrics
from ..token_bucket import TokenBucket
from .connection import Connection
from .message_size import header_bytes
from .publishing import StreamPublisher

log = logging.getLogger(__name__)

#: Bytes of a rejected message that are stored.
STORED_BYTES_MAX = 16 * 1024
#: Dead letters of one sender that are stored at the same moment, and each second after that.
BURST = 100
PER_SECOND = 1.0
#: Senders that are told apart; each further one shares a subject and a rate with all others like it.
SENDERS_MAX = 1_000
OTHERS = "other"
#: The code of a message that is counted, but neither stored nor logged.
SUPPRESSED = "suppressed"


class SenderRates:
    """The rate of each sender. One that has sent nothing for long counts as new."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str | None, TokenBucket] = OrderedDict()

    def known(self, sender: str | None) -> str | None:
        """Return the sender, or `OTHERS` if its name is invalid, or too many are told apart already."""
        if sender is None or sender in self._buckets:
            return sender
        if not re.fullmatch(NAME_PATTERN, sender):
            return OTHERS
        self._forget_idle()
        return sender if len(self._buckets) < SENDERS_MAX else OTHERS

    def take(self, sender: str | None) -> bool:
        """Return whether a message of a known sender may be stored, and count it."""
        now = self._clock()
        bucket = self._buckets.pop(sender, None) or TokenBucket(BURST, PER_SECOND, now)
        self._buckets[sender] = bucket
        return bucket.take(now)

    def _forget_idle(self) -> None:
        """Forget senders whose buckets are full again, the longest idle first."""
        idle_since = self._clock() - BURST / PER_SECOND
        while self._buckets and next(iter(self._buckets.values())).used_at < idle_since:
            self._buckets.popitem(last=False)


class DeadLetters:
    """Stores what a service rejects, and counts it."""

    def __init__(self, connection: Connection, service: str) -> None:
        self._publisher = StreamPublisher(connection, subjects.DEAD_LETTERS_STREAM)
        self._service = service
        self._rates = SenderRates()
        self._repeated = RepeatedLogs(log)
        self._storing: set[asyncio.Task[None]] = set()

    def store_soon(self, subject: str, data: bytes, reason: str) -> None:
        """Store an invalid message in the background, for callers that cannot wait."""
        sender = self._rates.known(subjects.parse_sender(subject))
        if not self._may_store(sender, "invalid"):
            return
        task = asyncio.create_task(self._store(subject, data, reason, sender))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def store(
        self, subject: str, data: bytes, reason: str, code: str, *, sender: str | None = None
    ) -> None:
        """Store a message with its reason; if that fails, the reason is only in the log.

        `sender`: a token; by default the one in `subject`. Beyond its rate, a message is only counted.
        """
        sender = self._rates.known(sender or subjects.parse_sender(subject))
        if self._may_store(sender, code):
            await self._store(subject, data, reason, sender)

    def _may_store(self, sender: str | None, code: str) -> bool:
        if self._rates.take(sender):
            metrics.DEAD_LETTERS.labels(self._service, code).inc()
            return True
        metrics.DEAD_LETTERS.labels(self._service, SUPPRESSED).inc()
        self._repeated.warning(
            sender,
            "not storing all rejected messages of %s: more than %s, and then %g a second",
            sender or "unknown senders",
            BURST,
            PER_SECOND,
        )
        return False

    async def _store(self, subject: str, data: bytes, reason: str, sender: str | None) -> None:
        log.warning("rejected a message on %s: %s", subject, reason)
        headers = {
            envelope.DEAD_REASON: envelope.header_safe(reason),
            envelope.DEAD_SUBJECT: envelope.header_safe(subject),
        }
        stored_max = min(STORED_BYTES_MAX, self._publisher.message_bytes_max - header_bytes(headers))
        try:
            await self._publisher.publish(
                subjects.dead_letters(self._service, sender), data[: max(0, stored_max)], headers
            )
        except (Unavailable, MessageTooLarge) as error:
            self._repeated.error("unavailable", "cannot store the rejected message: %s", error)
