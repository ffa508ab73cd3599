"""What happens to a message that cannot be handled: it is refused, retried, or stored as a dead letter.

FastStream's own policies lose it, or deliver it again immediately, forever.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, ConnectionReconnectingError
from nats.errors import Error as NatsError
from pydantic import BaseModel, ValidationError

from ..backoff import Backoff
from ..contracts.replies import Outcome, Refusal, Reply
from ..contracts.validation_errors import describe_errors
from ..errors import MessageTooLarge, Rejected, RetryLater
from ..pipelines import refusals
from ..repeated_logs import RepeatedLogs
from .dead_letters import DeadLetters

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

Model = TypeVar("Model", bound=BaseModel)

#: Before a message is delivered again.
REDELIVERY = Backoff(0.1, 5.0)
#: For NATS to learn of the subscriptions of a broker that was started.
SUBSCRIBED_WITHIN_SECONDS = 2
#: Deliveries of a message that causes an internal error each time; then it becomes a dead letter.
DELIVERIES_MAX = 5


class RefusedMessage(Rejected):
    """A request that is refused before it is handled; its sender gets the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class InvalidMessage(RefusedMessage):
    """The message is malformed; it is stored as a dead letter."""


class UnauthorizedSender(RefusedMessage):
    """The sender may not send the command; nothing is wrong with its form."""


def decode_json(model: type[Model], data: bytes) -> Model:
    """Return `model` read from JSON; `InvalidMessage`, which says what is wrong, if it is invalid."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise InvalidMessage(refusals.invalid([describe_errors(error)])) from error


async def connect_broker(broker: NatsBroker, stack: AsyncExitStack) -> Client:
    """Connect a FastStream broker, and stop it when `stack` is closed; return its own connection.

    Its handlers are declared only: what FastStream does for each message takes longer than to answer it, so
    their messages are taken from the connection.
    """
    stack.push_async_callback(_stop_broker, broker)
    await broker.connect()
    client = broker._connection
    assert client
    return client


async def subscribed(client: Client) -> None:
    """Return once NATS knows the subscriptions: before, senders would be told that nobody listens."""
    with contextlib.suppress(NatsError, TimeoutError):  # a connection that is lost subscribes again by itself
        # nats-py writes the first ping before the pending subscriptions, and the second one after them.
        await client.flush(SUBSCRIBED_WITHIN_SECONDS)
        await client.flush(SUBSCRIBED_WITHIN_SECONDS)


async def _stop_broker(broker: NatsBroker) -> None:
    """Stop a FastStream broker, also while its connection is down."""
    with contextlib.suppress(ConnectionReconnectingError, ConnectionClosedError):
        await broker.stop()


async def answer(
    dead_letters: DeadLetters,
    subject: str,
    data: bytes,
    work: Callable[[], Awaitable[Reply]],
    on_refused: Callable[[str, Refusal], None] = lambda subject, refusal: None,
) -> Reply:
    """Return the reply to a request: whatever goes wrong in `work`, its sender gets one.

    `on_refused` is called with subject and refusal of what is invalid, or from an unknown sender.
    """
    try:
        return await work()
    except InvalidMessage as error:
        on_refused(subject, error.refusal)
        await dead_letters.store(subject, data, str(error), error.refusal.code)
        return refusal_reply(error.refusal)
    except UnauthorizedSender as error:
        on_refused(subject, error.refusal)
        return refusal_reply(error.refusal)
    except RetryLater as error:
        return refusal_reply(refusals.unavailable(str(error), passes_soon=error.passes_soon))
    except MessageTooLarge as error:
        return refusal_reply(refusals.result_too_large(error.size, error.size_max))
    except Exception as error:
        log.exception("internal error while handling a message on %s", subject)
        reason = f"{type(error).__name__}: {error}"
        await dead_letters.store(subject, data, reason, "internal_error")
        return refusal_reply(refusals.internal_error(reason))


async def settle(message: Msg, work: Awaitable[None], dead_letters: DeadLetters) -> None:
    """Do the work of a stream's message; acknowledge it, have it delivered later, or store it as dead."""
    subject = message.subject
    try:
        await work
    except RetryLater as error:
        repeated.warning("again", "delivering a message on %s again later: %s", subject, error)
        await message.nak(delay=_delay(message))
    except Rejected as error:
        await dead_letters.store(subject, message.data, str(error), "invalid")
        await message.term()
    except Exception as error:
        log.exception("internal error while handling a message on %s", subject)
        if _deliveries(message) < DELIVERIES_MAX:
            await message.nak(delay=_delay(message))
            return
        reason = f"{type(error).__name__}: {error}"
        await dead_letters.store(subject, message.data, reason, "internal_error")
        await message.term()
    else:
        await message.ack()


def refusal_reply(refusal: Refusal) -> Reply:
    """Return the reply to a refused command."""
    return Reply(outcome=Outcome.REFUSED, refusal=refusal)


def _delay(message: Msg) -> float:
    return REDELIVERY.seconds(_deliveries(message))


def _deliveries(message: Msg) -> int:
    return message.metadata.num_delivered or 1
