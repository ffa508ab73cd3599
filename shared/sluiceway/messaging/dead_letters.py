"""Rejected messages, stored with their reason in DEAD_LETTERS, and counted."""

import asyncio
import logging

from ..contracts import envelope, subjects
from ..errors import MessageTooLarge, Unavailable
from ..telemetry import metrics
from .connection import Connection
from .message_size import header_bytes
from .publishing import StreamPublisher

log = logging.getLogger(__name__)

#: Bytes of a rejected message that are stored.
STORED_BYTES_MAX = 256 * 1024


class DeadLetters:
    """Stores what a service rejects, and counts it."""

    def __init__(self, connection: Connection, service: str) -> None:
        self._publisher = StreamPublisher(connection, subjects.DEAD_LETTERS_STREAM)
        self._service = service
        self._storing: set[asyncio.Task[None]] = set()

    def store_soon(self, subject: str, data: bytes, reason: str) -> None:
        """Store an invalid message in the background, for callers that cannot wait."""
        task = asyncio.create_task(self.store(subject, data, reason, "invalid"))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def store(self, subject: str, data: bytes, reason: str, code: str) -> None:
        """Store a message with its reason; if that fails, the reason is only in the log."""
        metrics.DEAD_LETTERS.labels(self._service, code).inc()
        log.warning("rejected a message on %s: %s", subject, reason)
        headers = {
            envelope.DEAD_REASON: envelope.header_safe(reason),
            envelope.DEAD_SUBJECT: envelope.header_safe(subject),
        }
        stored_max = min(STORED_BYTES_MAX, self._publisher.message_bytes_max - header_bytes(headers))
        try:
            await self._publisher.publish(
                subjects.dead_letters(self._service), data[: max(0, stored_max)], headers
            )
        except (Unavailable, MessageTooLarge) as error:
            log.error("cannot store the rejected message: %s", error)
