"""A client without a broker, which answers each request that is sent with others in one write."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from nats.aio.subscription import Subscription

from sluiceway.messaging.message_size import OutgoingMessage, SizeCheckedClient
from sluiceway.messaging.nats_client import RawMessage, Receive

#: Returns the data of the reply to a message; None: there is none.
Answer = Callable[[OutgoingMessage], bytes | None]


class AnsweringClient(SizeCheckedClient):
    """Keeps what is sent, one entry for each write; the replies come in a later turn of the loop."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.writes: list[list[OutgoingMessage]] = []
        self.subscribed: list[str] = []
        self._answer = answer
        self._max_payload = 2**20

    async def receive_now(self, subject: str, receive: Receive, *, queue: str = "") -> Subscription:
        self.subscribed.append(subject)
        await asyncio.sleep(0)
        self._receive = receive
        return Subscription(self, subject=subject, queue=queue)

    async def publish_all(self, messages: Sequence[OutgoingMessage]) -> None:
        self.writes.append(list(messages))
        for message in messages:
            answer = self._answer(message)
            if answer is not None:
                asyncio.get_running_loop().call_soon(self.reply, message.reply, answer)

    def reply(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Let a reply come, as the broker sends it."""
        self._receive(RawMessage(subject, data, headers=headers))


def stored(sequence: int) -> bytes:
    """Return the acknowledgement of a message."""
    return b'{"stream":"LETTERS","seq":%d}' % sequence
