"""The whole size of a message, and the client that refuses to publish one that is too large.

A broker closes the connection of a client that publishes more than its `max_payload`, headers included, and
nats-py does not come back from that. Its own check leaves the headers out.
"""

from collections.abc import Mapping
from typing import Any

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


class SizeCheckedClient(StreamClient):
    """A NATS client that raises `MessageTooLarge` instead of losing its connection.

    Whatever publishes with a client calls `publish`: requests, JetStream, acknowledgements and replies too.
    """

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
