"""The whole size of a message, and the client that refuses to publish one that is too large.

A broker closes the connection of a client that publishes more than its `max_payload`, headers included, and
nats-py does not come back from that. Its own check leaves the headers out.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from nats.errors import (
    BadHeaderError,
    BadSubjectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    OutboundBufferLimitError,
)

from ..errors import MessageTooLarge
from .nats_client import StreamClient

#: Bytes of the headers of one message; JetStream stores no more.
HEADER_BYTES_MAX = 65_535
#: Bytes of the line with the subject, the reply subject and the sizes; a longer one ends the connection too.
CONTROL_LINE_BYTES_MAX = 4_096
#: Bytes of that line beside the subjects: the operation, spaces, and two numbers.
CONTROL_LINE_REST = 40
#: Bytes of one character.
UTF_8_BYTES_MAX = 4
_HEADER_LINE = len(b"NATS/1.0\r\n")
_LINE_END = len(b"\r\n")
_SEPARATOR = len(b": ")
#: What is published together is sent in the same turn of the loop if it has so many bytes.
SEND_NOW_BYTES = 64 * 1024
#: Names of headers that are remembered as valid.
HEADER_NAMES_MAX = 256
#: What nats-py takes for the name of a header, and for no subject.
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NO_SUBJECT = re.compile(r"\s")


class OutgoingMessage(NamedTuple):
    """A message to publish; `headers` as `encode_headers` returns them, or nothing."""

    subject: str
    data: bytes
    reply: str = ""
    headers: bytes = b""

    def frame(self) -> bytes:
        """Return the bytes that the broker receives."""
        subject, data, reply, headers = self
        if not headers:
            return b"".join((f"PUB {subject} {reply} {len(data)}\r\n".encode(), data, b"\r\n"))
        sizes = f"{len(headers)} {len(headers) + len(data)}"
        return b"".join((f"HPUB {subject} {reply} {sizes}\r\n".encode(), headers, data, b"\r\n"))

    def check(self, bytes_max: int) -> None:
        """Raise `MessageTooLarge` if a broker that takes `bytes_max` would close the connection."""
        subject, data, reply, headers = self
        if len(data) + len(headers) > bytes_max or len(headers) > HEADER_BYTES_MAX:
            _check_bytes(subject, data, len(headers), bytes_max)
        line = (len(subject) + len(reply)) * UTF_8_BYTES_MAX + CONTROL_LINE_REST
        if line > CONTROL_LINE_BYTES_MAX:
            _check_line(subject, reply)


class SizeCheckedClient(StreamClient):
    """A NATS client that raises `MessageTooLarge` instead of losing its connection.

    Whatever publishes with a client calls `publish`, or `publish_all`: requests, JetStream, acknowledgements
    and replies too.
    """

    @property
    def is_in_cluster(self) -> bool:
        """Whether the broker of this connection, or of the last one, is one of a cluster."""
        return bool(self._server_info.get("cluster"))

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Publish a message, if it is not too large for the broker of this connection."""
        check_size(subject, payload, headers, self.max_payload, reply)
        await super().publish(subject, payload, reply, headers)

    async def publish_all(self, messages: Sequence[OutgoingMessage]) -> None:
        """Publish messages with one write to the socket; none of them if one is too large.

        What several callers publish before the loop goes on is one write, too. Raises what `publish` does.
        """
        frames = b"".join([self._checked_frame(message) for message in messages])
        self._check_state(len(frames))
        await self._send_command(frames)
        self.stats["out_msgs"] += len(messages)
        self.stats["out_bytes"] += len(frames)
        if self._pending_data_size >= SEND_NOW_BYTES:
            self._send_pending()
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    def publish_now(self, message: OutgoingMessage) -> None:
        """Publish a message with the next write, without waiting for room.

        Raises what `publish` does, and nats-py's `OutboundBufferLimitError` if as much as may waits already.
        """
        frame = self._checked_frame(message)
        self._check_state(len(frame))
        if self._flush_queue is None or len(frame) + self._pending_data_size > self._max_pending_size:
            raise OutboundBufferLimitError
        self._pending.append(frame)
        self._pending_data_size += len(frame)
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(frame)
        if self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def _send_pending(self) -> None:
        """Hand to the socket what waits for the loop's next turn, unless the broker is slow to read.

        It begins with a large batch while this process still prepares the next one.
        """
        writer = getattr(self._transport, "_io_writer", None)  # none over WebSocket
        if not self.is_connected or writer is None or writer.transport.get_write_buffer_size():
            return
        writer.write(b"".join(self._pending))
        self._pending = []
        self._pending_data_size = 0

    def _checked_frame(self, message: OutgoingMessage) -> bytes:
        message.check(self.max_payload)
        if not message.subject or _NO_SUBJECT.search(message.subject):
            raise BadSubjectError
        return message.frame()

    def _check_state(self, size: int) -> None:
        """Raise nats-py's error if nothing can be published now: while it reconnects, little may wait."""
        if self.is_closed:
            raise ConnectionClosedError
        if self.is_draining_pubs:
            raise ConnectionDrainingError
        if not self.is_connected and size + self._pending_data_size > self._max_pending_size:
            raise OutboundBufferLimitError

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Any:
        """Send a request, if it is not too large; nats-py would keep the future of its reply otherwise."""
        check_size(subject, payload, headers, self.max_payload)
        return await super().request(subject, payload, timeout, old_style, headers)


def check_size(
    subject: str, data: bytes, headers: Mapping[str, str] | None, bytes_max: int, reply: str = ""
) -> None:
    """Raise `MessageTooLarge` if a broker that takes `bytes_max` would close the connection."""
    most = _header_bytes_at_most(headers)
    if len(data) + most > bytes_max or most > HEADER_BYTES_MAX:
        _check_bytes(subject, data, header_bytes(headers), bytes_max)
    line = (len(subject) + len(reply)) * UTF_8_BYTES_MAX + CONTROL_LINE_REST
    if line > CONTROL_LINE_BYTES_MAX:
        _check_line(subject, reply)


def encode_headers(headers: Mapping[str, str] | None) -> bytes:
    """Return headers as nats-py encodes them; nothing without headers. `BadHeaderError` for a wrong name."""
    if headers is None:
        return b""
    fields = [f"{name}: {value.strip()}" for key, value in headers.items() if (name := _header_name(key))]
    lines = ["NATS/1.0", *fields, "", ""]
    text = "\r\n".join(lines)
    if not text.count("\r") == text.count("\n") == len(lines) - 1:  # some value has more than one line
        text = "\r\n".join(line.replace("\r", " ").replace("\n", " ") for line in lines)
    return text.encode()


@lru_cache(HEADER_NAMES_MAX)
def _header_name(key: str) -> str:
    """Return the name of a header as it is sent; empty: it is left out."""
    name = key.strip()
    if name and not _HEADER_NAME.fullmatch(name):
        raise BadHeaderError(name)
    return name


def _check_bytes(subject: str, data: bytes, header_size: int, bytes_max: int) -> None:
    if (size := len(data) + header_size) > bytes_max:
        raise MessageTooLarge(subject, size, bytes_max, "the broker's max_payload", header_size)
    if header_size > HEADER_BYTES_MAX:
        raise MessageTooLarge(subject, header_size, HEADER_BYTES_MAX, "the limit of headers", header_size)


def _check_line(subject: str, reply: str) -> None:
    line = len(subject.encode()) + len(reply.encode()) + CONTROL_LINE_REST
    if line > CONTROL_LINE_BYTES_MAX:
        raise MessageTooLarge(f"{subject[:100]}…", line, CONTROL_LINE_BYTES_MAX, "the limit of subjects")


def _header_bytes_at_most(headers: Mapping[str, str] | None) -> int:
    """Return a number that is not below `header_bytes`, fast: it is asked for each message."""
    if headers is None:
        return 0
    characters = sum(map(len, headers)) + sum(map(len, headers.values()))
    return _HEADER_LINE + characters * UTF_8_BYTES_MAX + len(headers) * (_SEPARATOR + _LINE_END) + _LINE_END


def header_bytes(headers: Mapping[str, str] | None) -> int:
    """Return the bytes of the headers as nats-py encodes them; 0 without headers."""
    if headers is None:
        return 0
    lines = ((key.strip(), value.strip()) for key, value in headers.items())
    encoded = (len(key.encode()) + len(value.encode()) for key, value in lines if key)
    return _HEADER_LINE + sum(size + _SEPARATOR + _LINE_END for size in encoded) + _LINE_END
