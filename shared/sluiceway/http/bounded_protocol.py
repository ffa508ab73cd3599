"""HTTP connections on which a client can neither wait nor send without a bound.

uvicorn's protocol, with a time for the header and for the body of each request, a bound on header and on
requests sent ahead, and a time for a client to read what it asked for. Invalid requests are answered, or
their connection is closed; they are counted, but never logged: anybody could fill the log with them.
"""

import asyncio
import json
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sluiceway.telemetry import metrics

from .connections import RETRY_AFTER_SECONDS, Connections, Stage
from .joined_writes import JoinedWrites

#: From the first byte of a request (on a new connection: from its start) to the end of its header.
HEADER_SECONDS = 10.0
#: From there to the end of its body. The Alertmanager webhook answers for itself after 30 s.
BODY_SECONDS = 45.0
#: A client whose 64 KiB buffer stays full for so long does not read, and is disconnected.
UNREAD_SECONDS = 20.0
#: Request line and all header fields of a request, in bytes.
HEADER_BYTES_MAX = 64 * 1024
HEADER_FIELDS_MAX = 200
#: Requests sent on a connection while an earlier one is being answered; after more, it is closed.
REQUESTS_AHEAD_MAX = 8
#: Bytes that are parsed before the bounds are looked at.
PARSED_AT_ONCE = 16 * 1024
#: The name in a request's state of the reason why its connection is refused.
REFUSAL = "refusal"


class _Part(StrEnum):
    """The part of a request that is being received."""

    HEADER = "header"
    BODY = "body"


# By these names, since Python 3.11 takes long to look up a member: a request does so a dozen times.
HEADER, BODY = _Part.HEADER, _Part.BODY
WAITING, BUSY = Stage.WAITING, Stage.BUSY
SECONDS = {HEADER: HEADER_SECONDS, BODY: BODY_SECONDS}


class _Exceeded(Exception):
    """A bound on what is parsed was exceeded."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection within bounds."""

    def __init__(self, connections: Connections, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._bounded = connections
        self._refusal: object = None
        #: What is being received; None between two requests.
        self._part: _Part | None = None
        self._requests = 0
        #: Bytes since the request began, or since the last part of its body: chunks have extensions, and
        #: fields may follow them.
        self._header_bytes = 0
        #: What the deadline is for: a part, and the number of the request.
        self._awaited: tuple[_Part, int] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._is_ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = JoinedWrites(transport, self.loop)
        self._refusal = self._bounded.admit(self, self.client[0] if self.client else "")
        self._await_rest()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._bounded.discard(self)
        self._unset_keepalive_if_required()
        self._cancel_deadline()
        self.resume_writing()

    def evict(self) -> None:
        """Close the connection immediately."""
        self.transport.abort()

    def end_unread(self) -> None:
        """Close the connection if it was to be closed last time already: its client does not read."""
        if self._is_ending:
            self._close("not read")
        self._is_ending = self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PARSED_AT_ONCE):
            if self.transport.is_closing():
                return
            self._parse(data[start : start + PARSED_AT_ONCE])

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to a protocol that is not served: the request is answered as if it had not asked
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _Exceeded):
                return self._reject_header()
            return self._reject("invalid", 400, "this is not a valid HTTP request")
        if self._part:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES_MAX:
                return self._reject_header()
        self._await_rest()
        return None

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= REQUESTS_AHEAD_MAX:
            self._close("requests ahead")
            raise _Exceeded
        super().on_message_begin()
        self.scope["state"][REFUSAL] = self._refusal
        self._part = HEADER
        self._requests += 1
        self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part is BODY:
            return  # a field after the body: the header was used already
        if len(self.headers) >= HEADER_FIELDS_MAX:
            raise _Exceeded
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._part = BODY
        if self._requests == 1:  # no longer silent; later requests begin as one that waits
            self._bounded.move(self, WAITING)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._header_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._part = None
        if self._is_answering:
            self._bounded.move(self, BUSY)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline:
            self._bounded.move(self, WAITING)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_SECONDS, self._close, "not read")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_rest(self) -> None:
        """Set the deadline of what must be received next, unless it is set already."""
        part = self._part or (None if self._is_answering else HEADER)
        awaited = (part, self._requests) if part else None
        if awaited != self._awaited:
            self._cancel_deadline()
            self._awaited = awaited
            if part:
                self._deadline = self.loop.call_later(SECONDS[part], self._time_out, part)

    def _cancel_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self._awaited = None

    def _time_out(self, part: _Part) -> None:
        if part is HEADER and self._header_bytes == 0:
            return self._close("no request")
        if part is BODY and self.flow.read_paused:
            self._awaited = None  # the application does not read: its client is not slow
            return self._await_rest()
        text = f"the {part} of this request did not arrive within {SECONDS[part]:g} s"
        return self._reject(f"{part} timeout", 408, text)

    def _reject_header(self) -> None:
        bounds = f"{HEADER_BYTES_MAX} bytes and {HEADER_FIELDS_MAX} fields"
        self._reject("header size", 431, f"the header is too large: at most {bounds}")

    def _reject(self, reason: str, status: int, text: str) -> None:
        """Answer the request that is being received, if no other is being answered, and close."""
        if self.transport.is_closing():
            return None
        if self._is_answering and (self.pipeline or self._part is not BODY or self.cycle.response_started):
            return self._close(reason)
        self.transport.write(_response(status, text))
        metrics.HTTP_CLOSED.labels(reason).inc()
        return self.transport.close()

    def _close(self, reason: str) -> None:
        metrics.HTTP_CLOSED.labels(reason).inc()
        self.transport.abort()


def _response(status: int, text: str) -> bytes:
    body = json.dumps({"message": text}).encode()
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nretry-after: {RETRY_AFTER_SECONDS}\r\nconnection: close\r\n\r\n"
    ).encode() + body
