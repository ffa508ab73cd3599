"""nats-py's client, which neither a stored message nor a late answer can stop."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header

log = logging.getLogger(__name__)

#: The reply subject of a message that a consumer delivers from a stream; the broker sets it.
DELIVERED = b"$JS.ACK."
#: A header of a stored message that is the answer to a direct read; the broker sets it.
STREAM = "Nats-Stream"

#: What nats-py strips from names and values of headers.
BLANKS = " \t\n\r\v\f"
#: Names of headers that are remembered as valid or invalid; the broker takes 64 KiB of headers at most.
NAMES_MAX = 256

#: Called with subject, data and headers of a message.
Receive = Callable[[str, bytes, Mapping[str, str] | None], None]


class StreamClient(Client):
    """A client for streams in which others may have stored anything.

    A subject that is not UTF-8 ended nats-py's reading for good, without an error; so did the answer to a
    ping that nobody waited for any more, since the broker or this process was busy. And a stored message with
    a header `Status` was taken for a word of the broker's own, such as a heartbeat or *no more messages*.
    """

    def __init__(self) -> None:
        super().__init__()
        #: Id of a subscription → what receives its messages; there is one for each use of `receive_now`.
        self._receivers: dict[int, Receive] = {}

    async def receive_now(self, subject: str, receive: Receive) -> None:
        """Subscribe for as long as the client lives; call `receive` with each message while it is read.

        A usual subscription has a queue and a task, and its messages wait for a turn of the loop. `receive`
        must be quick: everything that comes behind on this connection waits for it.
        """
        subscription = await self.subscribe(subject, cb=_never_called)
        self._receivers[subscription._id] = receive

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Return what nats-py returns, in a quarter of the time: most messages have only ASCII here."""
        if not raw.isascii():
            parsed: dict[str, str] = Client._parse_header_lines(raw)
            return parsed
        headers = {}
        for line in raw.decode().split("\r\n"):
            name, colon, value = line.partition(":")
            if colon and (key := _header_name(name)) is not None:
                headers[key] = value.strip(BLANKS)
        return headers

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg | None:
        if headers and (reply.startswith(DELIVERED) or STREAM in headers):
            headers.pop(Header.STATUS.value, None)
        if receive := self._receivers.get(sid):
            _receive(receive, subject, data, headers)
            return None  # nothing is left to do: nats-py leaves it out
        subject = subject.decode(errors="backslashreplace").encode()
        message: Any = super()._build_message(sid, subject, reply, data, headers)
        assert isinstance(message, Msg)
        return message


@lru_cache(NAMES_MAX)
def _header_name(name: str) -> str | None:
    """Return the name of a header; None if there is a blank in it."""
    name = name.strip(BLANKS)
    return None if any(character.isspace() for character in name) else name


def _receive(receive: Receive, subject: bytes, data: bytes, headers: Mapping[str, str] | None) -> None:
    try:
        receive(subject.decode(errors="backslashreplace"), data, headers)
    except Exception:  # an error here would end nats-py's reading for good
        log.exception("internal error while receiving a message on %r", subject)


async def _never_called(message: Msg) -> None:
    """Stand for the callback that nats-py asks for: `_build_message` leaves it nothing."""
    raise AssertionError(f"received {message.subject}, which {StreamClient.receive_now.__name__} takes")
