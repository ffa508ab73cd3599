"""Rejected messages, kept with their reason where one can look at them, and counted."""

import asyncio
import logging

from ..contracts import envelope, subjects
from ..errors import Unavailable
from ..telemetry import metrics
from .connection import Connection
from .publishing import StreamPublisher

log = logging.getLogger(__name__)

#: Bytes of a rejected message that are kept.
KEPT_MAX_BYTES = 256 * 1024


class DeadLetters:
    """Keeps what a service rejects, where one can look at it, and counts it."""

    def __init__(self, connection: Connection, service: str) -> None:
        self._publisher = StreamPublisher(connection, subjects.DEAD_LETTERS_STREAM)
        self._service = service
        self._keeping: set[asyncio.Task[None]] = set()

    def keep_soon(self, subject: str, data: bytes, reason: str) -> None:
        """Keep an invalid message, for callers that cannot wait."""
        task = asyncio.create_task(self.keep(subject, data, reason, "invalid"))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def keep(self, subject: str, data: bytes, reason: str, code: str) -> None:
        """Store a message with its reason; where that fails, the log is all that is left."""
        metrics.DEAD_LETTERS.labels(self._service, code).inc()
        log.warning("rejected a message on %s: %s", subject, reason)
        headers = {
            envelope.DEAD_REASON: envelope.header_safe(reason),
            envelope.DEAD_SUBJECT: envelope.header_safe(subject),
        }
        try:
            await self._publisher.publish(
                subjects.dead_letters(self._service), data[:KEPT_MAX_BYTES], headers
            )
        except Unavailable as error:
            log.error("the rejected message is lost: %s", error)
