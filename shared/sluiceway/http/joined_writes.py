"""Sends the head of a response with the begin of its body: sending is what a small response costs most."""

import asyncio
from typing import Any

#: What the head of a response begins with; one without a body, as `100 Continue`, is sent as it is.
_HEAD, _INTERIM, _END = b"HTTP/1.1 ", b"HTTP/1.1 1", b"\r\n\r\n"


class JoinedWrites(asyncio.Transport):
    """The transport of a connection; what looks like a head waits for what is written next.

    It waits no longer than until the event loop's next turn: a stream may have nothing to send yet.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: Any) -> None:
        if self._head:
            data, self._head = b"".join((self._head, data)), b""
        elif data[:9] == _HEAD and data[-4:] == _END and data[:10] != _INTERIM:
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        return len(self._head) + self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._head = b""
        self._transport.abort()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
