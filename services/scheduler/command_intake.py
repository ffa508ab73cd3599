"""The commands as they come in: each waits for its sender's turn before anything is spent on it.

A command that waits is bytes. Its subject says who sent it and what it wants, so that turns are fair, what
takes something back has a lane of its own, and a sender who may not do it at all is refused, without a look
into the body.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from nats.errors import Error as NatsError

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import (
    COMMAND_MAX_BYTES,
    PUBLIC_COMMANDS,
    QUERIES,
    TAKING_BACK_VERBS,
    Command,
)
from sluiceway.contracts.replies import Refusal, Reply
from sluiceway.errors import MessageTooLarge
from sluiceway.fair_queue import FairQueue
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.delivery import InvalidMessage, answer, decode_json, refusal_reply
from sluiceway.messaging.message_size import OutgoingMessage, SizeCheckedClient
from sluiceway.messaging.nats_client import RawMessage
from sluiceway.pipelines import refusals
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.service import background_task

from . import metrics
from .authentication import Authenticator
from .command_subscriptions import CommandSubscriptions
from .senders import limits_of, sender_of
from .side_thread import SideThread

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

MODELS = {model.verb: model for model in PUBLIC_COMMANDS + QUERIES}
#: A larger command is decoded in a thread: others go on after Python's switch interval.
DECODED_AT_ONCE_BYTES = 16 * 1024
#: What is in work when the scheduler stops may take so long to end.
STOP_SECONDS = 2.0

Handle = Callable[[Command], Awaitable[Reply]]


class ReceivedCommand(NamedTuple):
    """A command that waits for its turn."""

    subject: str
    verb: str
    principal: str | None
    #: Where the reply goes; empty: nowhere.
    reply_to: str
    #: No more than a command may have; `size` is what was sent.
    data: bytes
    size: int


class CommandIntake:
    """Takes commands from a connection, and answers them in fair order."""

    def __init__(
        self,
        client: SizeCheckedClient,
        authenticator: Authenticator,
        handle: Handle,
        dead_letters: DeadLetters,
        workers: int,
        key_ids: Callable[[], Iterable[str]],
        side_thread: SideThread,
        on_refused: Callable[[str, Refusal], None] = lambda subject, refusal: None,
    ) -> None:
        """`workers`: commands in work at the same time, in each of the two lanes; `key_ids`: of all keys.

        `on_refused` is called with subject and refusal of what is invalid, or from an unknown sender.
        """
        self._client = client
        self._side_thread = side_thread
        self._subscriptions = CommandSubscriptions(client, self.receive, key_ids)
        self._authenticator = authenticator
        self._handle = handle
        self._dead_letters = dead_letters
        self._on_refused = on_refused
        self._taking_back: FairQueue[ReceivedCommand] = FairQueue(self._answer, workers)
        self._others: FairQueue[ReceivedCommand] = FairQueue(self._answer, workers)

    def receive(self, message: RawMessage) -> None:
        """Let a command wait for its turn, or tell its sender when to send it again."""
        verb, principal = subjects.parse_command(message.subject)
        if self._subscriptions.is_shut_out(principal, verb):
            return
        received = ReceivedCommand(
            subject=message.subject,
            verb=verb,
            principal=principal,
            reply_to=message.reply,
            data=message.data[:COMMAND_MAX_BYTES],
            size=len(message.data),
        )
        lane = self._taking_back if verb in TAKING_BACK_VERBS else self._others
        sender = sender_of(principal, message)
        seconds = lane.put(sender, limits_of(principal), received, len(received.data))
        if seconds is not None:
            self._subscriptions.record_refusal(principal, verb, received.size)
            refusal = refusals.rate_limited(sender, seconds)
            self._count(received, refusal)
            self._reply_now(received, refusal_reply(refusal))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take commands while the block runs; then let what is in work end."""
        await self._subscriptions.start()
        try:
            async with background_task(self._subscriptions.run(), "subscriptions to commands"):
                yield
        finally:
            await self._subscriptions.stop()
            await asyncio.gather(*(lane.close(STOP_SECONDS) for lane in (self._taking_back, self._others)))

    async def _answer(self, received: ReceivedCommand) -> None:
        reply = await answer(
            self._dead_letters,
            received.subject,
            received.data,
            lambda: self._result(received),
            self._on_refused,
        )
        if reply.refusal and received.verb not in MODELS:
            self._count(received, reply.refusal)
        await self._reply(received, reply)

    async def _result(self, received: ReceivedCommand) -> Reply:
        """Return the result of a command: who sent it comes first, what it says last."""
        model = MODELS.get(received.verb)
        if model is None:
            raise InvalidMessage(refusals.unknown_command(received.verb, MODELS))
        identity = await self._authenticator.sender(model, received.principal, received.reply_to)
        if received.size > COMMAND_MAX_BYTES:
            raise InvalidMessage(refusals.too_large(received.size, COMMAND_MAX_BYTES))
        if received.size <= DECODED_AT_ONCE_BYTES:
            command = decode_json(model, received.data)
        else:
            command = await self._side_thread.run(decode_json, model, received.data)
        return await self._handle(self._authenticator.identified(command, received.principal, identity))

    async def _reply(self, received: ReceivedCommand, reply: Reply) -> None:
        if self._may_reply(received):
            with _logged(received):
                await self._publish(received.reply_to, reply)

    def _reply_now(self, received: ReceivedCommand, reply: Reply) -> None:
        """Send a short reply while messages are read: it is left out if too much waits to be sent."""
        if self._may_reply(received):
            with _logged(received):
                self._client.publish_now(OutgoingMessage(received.reply_to, reply.to_json()))

    def _may_reply(self, received: ReceivedCommand) -> bool:
        """Return whether a reply goes to an inbox: a stream would store it on one of its subjects."""
        if received.reply_to and not subjects.is_inbox(received.reply_to):
            repeated.warning(
                received.principal,
                "not replying on %s: %s is not an inbox",
                received.subject,
                received.reply_to,
            )
            return False
        return bool(received.reply_to)

    async def _publish(self, inbox: str, reply: Reply) -> None:
        """Send a reply; one that is too large without the state."""
        try:
            await self._send(inbox, reply.to_json())
        except MessageTooLarge as error:
            log.warning("sending a reply without the state: %s", error)
            await self._send(inbox, reply.without_state(str(error)).to_json())

    async def _send(self, inbox: str, data: bytes) -> None:
        await self._client.publish_all([OutgoingMessage(inbox, data)])

    def _count(self, received: ReceivedCommand, refusal: Refusal) -> None:
        verb = received.verb if received.verb in MODELS else "unknown"
        metrics.command_counter(verb, refusal.code).inc()


@contextmanager
def _logged(received: ReceivedCommand) -> Iterator[None]:
    """Log that a reply cannot be sent: its sender sends the command again."""
    try:
        yield
    except NatsError as error:
        repeated.warning("reply", "cannot reply to %s: %s", received.subject, error)
