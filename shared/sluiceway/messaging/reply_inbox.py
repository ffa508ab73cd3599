"""Requests and their replies: one subscription of a connection receives the replies to all of them.

nats-py's own request makes two random names, three futures and a turn of a task for each. Each write to a
stream is a request.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import Header

from .message_size import OutgoingMessage, SizeCheckedClient, encode_headers
from .nats_client import RawMessage

#: Nobody can guess the inbox of a connection, so that a reply may have a mere number.
INBOX_BYTES = 16


class RawReply(NamedTuple):
    """A reply as it came; `is_unheard`: the broker says that nobody listens."""

    data: bytes
    is_unheard: bool


class _Exchange:
    """Requests that were sent together, and the replies to them."""

    __slots__ = ("_missing", "complete", "replies")

    def __init__(self, count: int) -> None:
        self.replies: list[RawReply | None] = [None] * count
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._missing = count

    def receive(self, place: int, reply: RawReply) -> None:
        self.replies[place] = reply
        self._missing -= 1
        if self._missing == 0 and not self.complete.done():
            self.complete.set_result(None)

    def expire(self) -> None:
        if not self.complete.done():
            self.complete.set_exception(NatsTimeoutError())


class ReplyInbox:
    """Sends requests on a connection, and gives each reply to the caller that waits for it."""

    def __init__(self, client: SizeCheckedClient) -> None:
        self._client = client
        self._prefix = ""
        self._subscribing = asyncio.Lock()
        self._sent = 0
        #: Where a reply will come → the requests that were sent together, and the place of this one among
        #: them. Callers bound how many they send.
        self._waiting: dict[str, tuple[_Exchange, int]] = {}

    async def request(
        self, subject: str, data: bytes = b"", *, timeout: float, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return the reply to one request.

        Raises nats-py's `NoRespondersError` if nobody listens, and what `request_all` raises.
        """
        message = OutgoingMessage(subject, data, headers=encode_headers(headers))
        (reply,) = await self.request_all([message], timeout)
        if reply.is_unheard:
            raise NoRespondersError
        return reply.data

    async def request_all(self, messages: Sequence[OutgoingMessage], timeout: float) -> list[RawReply]:
        """Send requests with one write, and return the reply to each; their own `reply` does not count.

        Raises nats-py's `TimeoutError` if one is missing after `timeout` seconds, and its other errors if
        the requests cannot be sent; `MessageTooLarge` if one of them is, and then none is sent.
        """
        prefix = self._prefix or await self._subscribe()
        exchange, first = _Exchange(len(messages)), self._sent
        self._sent += len(messages)
        requests = [
            OutgoingMessage(subject, data, f"{prefix}{number}", headers)
            for number, (subject, data, _, headers) in enumerate(messages, first)
        ]
        for place, request in enumerate(requests):
            self._waiting[request.reply] = (exchange, place)
        expiry: asyncio.TimerHandle | None = None
        try:
            await self._client.publish_all(requests)
            expiry = asyncio.get_running_loop().call_later(timeout, exchange.expire)
            await exchange.complete
        finally:
            if expiry:
                expiry.cancel()
            for request in requests:
                self._waiting.pop(request.reply, None)
        return [reply for reply in exchange.replies if reply]

    async def _subscribe(self) -> str:
        """Subscribe once, with the first request; return how the subjects of replies begin."""
        async with self._subscribing:
            if not self._prefix:
                prefix = f"{self._client._inbox_prefix.decode()}.{secrets.token_hex(INBOX_BYTES)}."
                await self._client.receive_now(f"{prefix}*", self._receive)
                self._prefix = prefix
        return self._prefix

    def _receive(self, message: RawMessage) -> None:
        """Take a reply; one that nobody waits for, or not any more, or a second one, is left out."""
        if waiting := self._waiting.pop(message.subject, None):
            exchange, place = waiting
            is_unheard = message.headers is not None and Header.STATUS.value in message.headers
            exchange.receive(place, RawReply(message.data, is_unheard))
