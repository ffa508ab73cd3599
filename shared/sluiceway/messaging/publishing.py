"""Publish to a stream. Every failure is `Conflict` or `Unavailable`; the names of NATS' headers are here."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import Header
from nats.js.errors import APIError, NoStreamResponseError
from nats.js.kv import KV_DEL, KV_OP, KV_PURGE

from ..contracts.envelope import header_safe
from ..errors import Conflict, Unavailable, error_text
from .connection import Connection

#: The last sequence of the subject; the broker refuses a message that was published with another.
EXPECTED_LAST = Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value
#: The broker stores a message with the same id once, within the stream's window.
MESSAGE_ID = Header.MSG_ID.value
#: Marks a key of a bucket as deleted.
KV_OPERATION = KV_OP
DELETION = {KV_OPERATION: KV_DEL}
DELETIONS = frozenset((KV_DEL, KV_PURGE))
#: Error codes of a wrong last sequence; the second one comes from clusters.
WRONG_LAST_SEQUENCE = frozenset((10071, 10164))
#: Messages of `append_all` that may wait for their acknowledgements, so that they cannot fill the memory.
PENDING_MAX = 4_000
#: The timeout for the acknowledgements of that many messages.
ACKNOWLEDGED_WITHIN_SECONDS = 5.0


class ConditionalMessage(NamedTuple):
    """A message to append after the sequence `expected` of its subject."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    expected: int


class StreamPublisher:
    """Publishes to one stream."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._client = connection.client
        self._writes = connection.writes
        self._js = connection.js
        self._stream = stream

    async def append(self, message: ConditionalMessage) -> int:
        """Append a message; return its sequence.

        Raises `Conflict` if another message came first, and `Unavailable` if it is unknown whether
        the message is stored: only the end of the subject tells.
        """
        return await self._publish(message.subject, message.data, _headers(message), message)

    async def append_all(self, messages: Sequence[ConditionalMessage]) -> list[int | Conflict]:
        """Append messages without waiting for each other; return the sequence or conflict of each.

        Raises `Unavailable` if the broker does not store or refuse all of them in time.
        """
        results: list[int | Conflict] = []
        for first in range(0, len(messages), PENDING_MAX):
            results += await self._append_batch(messages[first : first + PENDING_MAX])
        return results

    async def publish(
        self,
        subject: str,
        data: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        message_id: str | None = None,
    ) -> int:
        """Publish a message without a condition; return its sequence.

        A second message with the same `message_id` is not stored. Raises `Unavailable`.
        """
        all_headers = dict(headers or {})
        if message_id is not None:
            all_headers[MESSAGE_ID] = header_safe(message_id)
        return await self._publish(subject, data, all_headers or None)

    async def _publish(
        self,
        subject: str,
        data: bytes,
        headers: dict[str, str] | None,
        condition: ConditionalMessage | None = None,
    ) -> int:
        timeout, connection = self._writes.timeout(self._stream), self._writes.connections
        try:
            ack = await self._js.publish(subject, data, headers=headers, timeout=timeout)
        except (NatsError, TimeoutError) as error:
            raise await self._error(error, condition, connection) from error
        self._writes.record_stored(self._stream)
        return ack.seq

    async def _append_batch(self, batch: Sequence[ConditionalMessage]) -> list[int | Conflict]:
        """Publish with an inbox of our own for the replies.

        `publish_async` of nats-py 2.16 never resolves what the broker refuses, such as a conflict.
        """
        inbox, replies = self._client.new_inbox(), _Replies(len(batch))
        connection = self._writes.connections
        try:
            subscription = await self._client.subscribe(f"{inbox}.*", cb=replies.receive)
            try:
                for number, message in enumerate(batch):
                    await self._client.publish(
                        message.subject, message.data, reply=f"{inbox}.{number}", headers=_headers(message)
                    )
                async with asyncio.timeout(ACKNOWLEDGED_WITHIN_SECONDS):
                    await replies.complete.wait()
            finally:
                await subscription.unsubscribe()
        except (NatsError, TimeoutError) as error:
            raise await self._error(error, None, connection) from error
        return [
            await self._result(replies.of(number), message, connection)
            for number, message in enumerate(batch)
        ]

    async def _result(self, reply: Msg, message: ConditionalMessage, connection: int) -> int | Conflict:
        try:
            sequence = _sequence(reply)
        except NatsError as refused:
            error = await self._error(refused, message, connection)
            if isinstance(error, Conflict):
                return error
            raise error from refused
        self._writes.record_stored(self._stream)
        return sequence

    async def _error(
        self, error: Exception, message: ConditionalMessage | None, connection: int
    ) -> Conflict | Unavailable:
        if message and isinstance(error, APIError) and error.err_code in WRONG_LAST_SEQUENCE:
            return Conflict(f"{message.subject} has changed: its last sequence is not {message.expected}")
        if reason := await self._writes.record_failure(self._stream, error, connection):
            return Unavailable(reason)
        description = error.description if isinstance(error, APIError) else None
        return Unavailable(f"cannot write to the stream {self._stream}: {description or error_text(error)}")


class _Replies:
    """Collects the reply to each of `count` messages, which are numbered by the end of their inbox."""

    def __init__(self, count: int) -> None:
        self.complete = asyncio.Event()
        self._count = count
        self._by_number: dict[int, Msg] = {}

    async def receive(self, reply: Msg) -> None:
        self._by_number[int(reply.subject.rpartition(".")[2])] = reply
        if len(self._by_number) == self._count:
            self.complete.set()

    def of(self, number: int) -> Msg:
        return self._by_number[number]


def _headers(message: ConditionalMessage) -> dict[str, str]:
    return {**message.headers, EXPECTED_LAST: str(message.expected)}


def _sequence(reply: Msg) -> int:
    """Return the sequence that a reply acknowledges; raise the error that it reports."""
    if reply.headers and Header.STATUS.value in reply.headers:
        raise NoStreamResponseError
    answer = json.loads(reply.data)
    if "error" in answer:
        APIError.from_error(answer["error"])
    return int(answer["seq"])
