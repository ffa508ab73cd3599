"""Publish to a stream. The names of NATS' headers are here.

Every failure is `Conflict`, `Unavailable` or `MessageTooLarge`.
"""

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
from ..errors import Conflict, MessageTooLarge, Unavailable, error_text
from .connection import Connection
from .message_size import check_size, header_bytes

#: The last sequence of the subject; the broker refuses a message that was published with another.
EXPECTED_LAST = Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value
#: The broker stores a message with the same id once, within the stream's window.
MESSAGE_ID = Header.MSG_ID.value
#: After this time the broker removes the message.
TIME_TO_LIVE = "Nats-TTL"
#: Marks a key of a bucket as deleted.
KV_OPERATION = KV_OP
DELETION = {KV_OPERATION: KV_DEL}
DELETIONS = frozenset((KV_DEL, KV_PURGE))
#: Error codes of a wrong last sequence; the second one comes from clusters.
WRONG_LAST_SEQUENCE = frozenset((10071, 10164))
#: Error codes of a message, or of its headers, that is larger than the stream takes.
TOO_LARGE = frozenset((10054, 10097))
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


#: What becomes of a message: its sequence, or why it is not stored.
Appended = int | Conflict | MessageTooLarge


class StreamPublisher:
    """Publishes to one stream."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._client = connection.client
        self._writes = connection.writes
        self._js = connection.js
        self._stream = stream
        #: The stream's own limit, once a message was larger.
        self._stream_bytes_max: int | None = None

    @property
    def message_bytes_max(self) -> int:
        """The bytes of a message, headers included, that the broker and the stream take, as far as known."""
        return min(self._client.max_payload, self._stream_bytes_max or self._client.max_payload)

    async def append(self, message: ConditionalMessage) -> int:
        """Append a message; return its sequence.

        Raises `Conflict` if another message came first, `MessageTooLarge` if the broker takes none of this
        size, and `Unavailable` if it is unknown whether the message is stored: only the end of the subject
        tells.
        """
        return await self._publish(message.subject, message.data, _headers(message), message)

    async def append_all(self, messages: Sequence[ConditionalMessage]) -> list[Appended]:
        """Append messages without waiting for each other; return the sequence or the error of each.

        Raises `Unavailable` if the broker does not store or refuse all of them in time.
        """
        results: list[Appended] = [self._size_error(message) or 0 for message in messages]
        small = [number for number, error in enumerate(results) if not isinstance(error, MessageTooLarge)]
        for first in range(0, len(small), PENDING_MAX):
            batch = small[first : first + PENDING_MAX]
            appended = await self._append_batch([messages[number] for number in batch])
            for number, result in zip(batch, appended, strict=True):
                results[number] = result
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

        A second message with the same `message_id` is not stored. Raises `MessageTooLarge` or `Unavailable`.
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
            if isinstance(error, APIError) and error.err_code in TOO_LARGE:
                raise await self._too_large(subject, data, headers, error) from error
            raise await self._error(error, condition, connection) from error
        self._writes.record_stored(self._stream)
        return ack.seq

    def _size_error(self, message: ConditionalMessage) -> MessageTooLarge | None:
        try:
            check_size(message.subject, message.data, _headers(message), self.message_bytes_max)
        except MessageTooLarge as error:
            return error
        return None

    async def _append_batch(self, batch: Sequence[ConditionalMessage]) -> list[Appended]:
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
        except MessageTooLarge as error:  # the connection changed meanwhile, to a broker that takes less
            raise Unavailable(f"cannot write to the stream {self._stream} now: {error}") from error
        except (NatsError, TimeoutError) as error:
            raise await self._error(error, None, connection) from error
        return [
            await self._result(replies.of(number), message, connection)
            for number, message in enumerate(batch)
        ]

    async def _result(self, reply: Msg, message: ConditionalMessage, connection: int) -> Appended:
        try:
            sequence = _sequence(reply)
        except NatsError as refused:
            if isinstance(refused, APIError) and refused.err_code in TOO_LARGE:
                too_large = await self._too_large(message.subject, message.data, _headers(message), refused)
                if isinstance(too_large, MessageTooLarge):
                    return too_large
                raise too_large from refused
            error = await self._error(refused, message, connection)
            if isinstance(error, Conflict):
                return error
            raise error from refused
        self._writes.record_stored(self._stream)
        return sequence

    async def _too_large(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None, error: APIError
    ) -> MessageTooLarge | Unavailable:
        """Return the error of a message that is larger than the stream's own limit."""
        try:
            size_max = (await self._js.stream_info(self._stream)).config.max_msg_size or 0
        except (NatsError, TimeoutError):
            return Unavailable(f"cannot write to the stream {self._stream}: {error.description}")
        header_size = header_bytes(headers)
        if size_max > 0:
            self._stream_bytes_max = size_max
        limit = f"max_msg_size of the stream {self._stream}"
        return MessageTooLarge(subject, len(data) + header_size, size_max, limit, header_size)

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
