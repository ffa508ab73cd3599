"""nats-py's client, which neither a stored message nor a late answer can stop."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

from .message_parser import MessageParser

log = logging.getLogger(__name__)

#: The reply subject of a message that a consumer delivers from a stream; the broker sets it.
DELIVERED = b"$JS.ACK."
#: A header of a stored message that is the answer to a direct read; the broker sets it.
STREAM = "Nats-Stream"

#: What nats-py strips from names and values of headers.
BLANKS = " \t\n\r\v\f"
#: Names of headers that are remembered as valid or invalid; the broker takes 64 KiB of headers at most.
NAMES_MAX = 256


class RawMessage(NamedTuple):
    """A message as it came; `reply`: where its sender waits for one, if anywhere."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Mapping[str, str] | None = None


Receive = Callable[[RawMessage], None]


class StreamClient(Client):
    """A client for streams in which others may have stored anything.

    A subject that is not UTF-8 ended nats-py's reading for good, without an error; so did the answer to a
    ping that nobody waited for any more, since the broker or this process was busy. And a stored message with
    a header `Status` was taken for a word of the broker's own, such as a heartbeat or *no more messages*.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ps = MessageParser(self)
        #: Id of a subscription → what receives its messages; there is one for each use of `receive_now`.
        self._receivers: dict[int, Receive] = {}

    async def receive_now(self, subject: str, receive: Receive, *, queue: str = "") -> Subscription:
        """Subscribe; call `receive` with each message while it is read, until the subscription ends.

        A usual subscription has a queue and a task, and its messages wait for a turn of the loop. `receive`
        must be quick: everything that comes behind on this connection waits for it.
        """
        sid = self._sid + 1  # known before the broker is told: a message may come before that has returned
        self._receivers[sid] = receive
        try:
            subscription: Subscription = await self.subscribe(subject, queue=queue, cb=_never_called)
        except BaseException:
            self._receivers.pop(sid, None)
            raise
        assert subscription._id == sid
        return subscription

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._receivers.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        receive = self._receivers.get(sid)
        if receive is None:
            await super()._process_msg(sid, subject, reply, data, headers or b"")
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        try:
            parsed = _without_false_status(reply, await self._process_headers(headers))
            receive(RawMessage(_text(subject), data, _text(reply), parsed))
        except Exception:  # an error here would end nats-py's reading for good
            log.exception("internal error while receiving a message on %r", subject)

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
    ) -> Msg:
        headers = _without_false_status(reply, headers)
        message: Any = super()._build_message(sid, _text(subject).encode(), reply, data, headers)
        assert isinstance(message, Msg)
        return message


def _without_false_status(reply: bytes, headers: dict[str, str] | None) -> dict[str, str] | None:
    """Return the headers of a message; in those of a stored one, a status is not the broker's word."""
    if headers and (reply.startswith(DELIVERED) or STREAM in headers):
        headers.pop(Header.STATUS.value, None)
    return headers


def _text(subject: bytes) -> str:
    return subject.decode(errors="backslashreplace")


@lru_cache(NAMES_MAX)
def _header_name(name: str) -> str | None:
    """Return the name of a header; None if there is a blank in it."""
    name = name.strip(BLANKS)
    return None if any(character.isspace() for character in name) else name


async def _never_called(message: Msg) -> None:
    """Stand for the callback that nats-py asks for: `_process_msg` leaves it nothing."""
    raise AssertionError(f"received {message.subject}, which {StreamClient.receive_now.__name__} takes")
