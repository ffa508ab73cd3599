"""Publish to a stream. The names of NATS' headers are here.

Every failure is `Conflict`, `Unavailable` or `MessageTooLarge`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import Header
from nats.js.errors import APIError, NoStreamResponseError
from nats.js.kv import KV_DEL, KV_OP, KV_PURGE

from ..contracts.envelope import header_safe
from ..errors import Conflict, MessageTooLarge, StoreFull, Unavailable, error_text
from .connection import REQUEST_TIMEOUT_SECONDS, Connection
from .message_size import OutgoingMessage, encode_headers
from .reply_inbox import RawReply

#: The last sequence of the subject; the broker refuses a message that was published with another.
EXPECTED_LAST = Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value
_EXPECTED_LAST = EXPECTED_LAST.encode()
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


class NoStream(Unavailable):
    """The broker answers, and no stream stores messages of this subject now."""

    #: Whether other messages of the same call were stored.
    is_partial = False


class ConditionalMessage(NamedTuple):
    """A message to append after the sequence `expected` of its subject."""

    subject: str
    data: bytes
    #: Or as `begin_headers` returns them.
    headers: Mapping[str, str] | bytes
    expected: int


#: What becomes of a message: its sequence, or why it is not stored.
Appended = int | Conflict | MessageTooLarge


class _Acknowledgement(msgspec.Struct):
    """What the broker says of a message: its sequence, or why it is not stored."""

    seq: int = 0
    error: dict[str, Any] | None = None


_ACKNOWLEDGEMENTS = msgspec.json.Decoder(_Acknowledgement)


class StreamPublisher:
    """Publishes to one stream."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._client = connection.client
        self._replies = connection.replies
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
        return await self._publish(_outgoing(message), message)

    async def append_all(self, messages: Sequence[ConditionalMessage]) -> list[Appended]:
        """Append messages without waiting for each other; return the sequence or the error of each.

        Raises `Unavailable` if the broker does not store or refuse all of them in time; that is `NoStream`
        if no stream stores one of them.
        """
        outgoing = [_outgoing(message) for message in messages]
        results: list[Appended] = [self._size_error(message) or 0 for message in outgoing]
        small = [number for number, error in enumerate(results) if not isinstance(error, MessageTooLarge)]
        for first in range(0, len(small), PENDING_MAX):
            batch = small[first : first + PENDING_MAX]
            replies, connection = await self._request_all([outgoing[number] for number in batch])
            try:
                for number, reply in zip(batch, replies, strict=True):
                    results[number] = await self._result(
                        reply, outgoing[number], messages[number], connection
                    )
            except NoStream as error:
                error.is_partial = any(map(_is_stored, replies))
                raise
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
        return await self._publish(
            OutgoingMessage(subject, data, headers=encode_headers(all_headers or None))
        )

    async def _publish(self, message: OutgoingMessage, condition: ConditionalMessage | None = None) -> int:
        timeout, connection = self._writes.timeout(self._stream), self._writes.connections
        try:
            (reply,) = await self._replies.request_all([message], timeout or REQUEST_TIMEOUT_SECONDS)
        except (NatsError, TimeoutError) as error:
            raise await self._error(error, condition, connection) from error
        result = await self._result(reply, message, condition, connection)
        if isinstance(result, int):
            return result
        raise result

    def _size_error(self, message: OutgoingMessage) -> MessageTooLarge | None:
        try:
            message.check(self.message_bytes_max)
        except MessageTooLarge as error:
            return error
        return None

    async def _request_all(self, batch: Sequence[OutgoingMessage]) -> tuple[list[RawReply], int]:
        """Return the reply to each message, and the number of the connection on which they were sent."""
        connection = self._writes.connections
        try:
            return await self._replies.request_all(batch, ACKNOWLEDGED_WITHIN_SECONDS), connection
        except MessageTooLarge as error:  # the connection changed meanwhile, to a broker that takes less
            raise Unavailable(f"cannot write to the stream {self._stream} now: {error}") from error
        except (NatsError, TimeoutError) as error:
            raise await self._error(error, None, connection) from error

    async def _result(
        self,
        reply: RawReply,
        message: OutgoingMessage,
        condition: ConditionalMessage | None,
        connection: int,
    ) -> Appended:
        """Return what a reply says; raise `Unavailable` if the message may be stored later."""
        try:
            sequence = _sequence(reply)
        except NatsError as refused:
            error = await self._refusal(refused, message, condition, connection)
            if isinstance(error, Unavailable):
                raise error from refused
            return error
        self._writes.record_stored(self._stream)
        return sequence

    async def _refusal(
        self,
        refused: NatsError,
        message: OutgoingMessage,
        condition: ConditionalMessage | None,
        connection: int,
    ) -> Conflict | MessageTooLarge | Unavailable:
        if isinstance(refused, APIError) and refused.err_code in TOO_LARGE:
            return await self._too_large(message, refused)
        return await self._error(refused, condition, connection)

    async def _too_large(self, message: OutgoingMessage, error: APIError) -> MessageTooLarge | Unavailable:
        """Return the error of a message that is larger than the stream's own limit."""
        try:
            size_max = (await self._js.stream_info(self._stream)).config.max_msg_size or 0
        except (NatsError, TimeoutError):
            return Unavailable(f"cannot write to the stream {self._stream}: {error.description}")
        header_size = len(message.headers)
        if size_max > 0:
            self._stream_bytes_max = size_max
        limit = f"max_msg_size of the stream {self._stream}"
        size = len(message.data) + header_size
        return MessageTooLarge(message.subject, size, size_max, limit, header_size)

    async def _error(
        self, error: Exception, message: ConditionalMessage | None, connection: int
    ) -> Conflict | Unavailable:
        if message and isinstance(error, APIError) and error.err_code in WRONG_LAST_SEQUENCE:
            return Conflict(f"{message.subject} has changed: its last sequence is not {message.expected}")
        if failure := await self._writes.record_failure(self._stream, error, connection):
            return Unavailable(failure.reason) if failure.is_stuck else StoreFull(failure.reason)
        description = error.description if isinstance(error, APIError) else None
        kind = NoStream if isinstance(error, NoStreamResponseError) else Unavailable
        return kind(f"cannot write to the stream {self._stream}: {description or error_text(error)}")


def begin_headers(headers: Mapping[str, str]) -> bytes:
    """Return the first headers of messages, encoded once for all that have them; lines may follow."""
    return encode_headers(headers).removesuffix(b"\r\n")


def _outgoing(message: ConditionalMessage) -> OutgoingMessage:
    begin = message.headers if isinstance(message.headers, bytes) else begin_headers(message.headers)
    headers = b"%b%b: %d\r\n\r\n" % (begin, _EXPECTED_LAST, message.expected)
    return OutgoingMessage(message.subject, message.data, headers=headers)


def _is_stored(reply: RawReply) -> bool:
    try:
        return _sequence(reply) > 0
    except NatsError:
        return False


def _sequence(reply: RawReply) -> int:
    """Return the sequence that a reply acknowledges; raise the error that it reports."""
    if reply.is_unheard:
        raise NoStreamResponseError
    try:
        answer = _ACKNOWLEDGEMENTS.decode(reply.data)
    except msgspec.MsgspecError as error:
        raise NatsError(f"invalid acknowledgement: {error}") from error
    if answer.error:
        APIError.from_error(answer.error)
    if not answer.seq:
        raise NatsError("invalid acknowledgement: it has no sequence")
    return answer.seq
