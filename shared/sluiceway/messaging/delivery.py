"""What happens to a message that cannot be handled: it is refused, retried, or stored as a dead letter.

FastStream's own policies lose it, or deliver it again immediately, forever.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from faststream import BaseMiddleware, StreamMessage
from faststream.exceptions import IgnoredException, NackMessage, RejectMessage
from faststream.nats import NatsBroker
from nats.aio.client import Client
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


def json_decoder(
    model: type[BaseModel], max_bytes: int
) -> Callable[[StreamMessage[Any]], Awaitable[BaseModel]]:
    """Return a FastStream decoder that reads `model` from JSON; raises `InvalidMessage`."""

    async def decode(message: StreamMessage[Any]) -> BaseModel:
        if len(message.body) > max_bytes:
            raise InvalidMessage(refusals.too_large(len(message.body), max_bytes))
        return decode_json(model, message.body)

    return decode


def decode_json(model: type[Model], data: bytes) -> Model:
    """Return `model` read from JSON; `InvalidMessage`, which says what is wrong, if it is invalid."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise InvalidMessage(refusals.invalid([describe_errors(error)])) from error


async def start_broker(broker: NatsBroker, stack: AsyncExitStack) -> Client:
    """Start a FastStream broker, and stop it when `stack` is closed; return its own connection.

    NATS knows the subscriptions then: before, senders would be told that nobody listens.
    """
    stack.push_async_callback(_stop_broker, broker)
    await broker.start()
    client = broker._connection
    assert client
    with contextlib.suppress(NatsError, TimeoutError):  # a connection that is lost subscribes again by itself
        # nats-py writes the first ping before the pending subscriptions, and the second one after them.
        await client.flush(SUBSCRIBED_WITHIN_SECONDS)
        await client.flush(SUBSCRIBED_WITHIN_SECONDS)
    return client


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
        return refusal_reply(refusals.unavailable(str(error)))
    except MessageTooLarge as error:
        return refusal_reply(refusals.result_too_large(error.size, error.size_max))
    except Exception as error:
        log.exception("internal error while handling a message on %s", subject)
        reason = f"{type(error).__name__}: {error}"
        await dead_letters.store(subject, data, reason, "internal_error")
        return refusal_reply(refusals.internal_error(reason))


def redelivery_middleware(dead_letters: DeadLetters) -> Callable[..., BaseMiddleware[Any, Any]]:
    """Return the middleware of a stream's consumer: deliver again later, or store as a dead letter."""

    class Redelivering(BaseMiddleware[Any, Any]):
        async def consume_scope(
            self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]
        ) -> Any:
            try:
                return await call_next(msg)
            except IgnoredException:
                raise
            except RetryLater as error:
                repeated.warning("again", "delivering a message on %s again later: %s", _subject(msg), error)
                raise NackMessage(delay=_delay(msg)) from error
            except Rejected as error:
                await dead_letters.store(_subject(msg), msg.body, str(error), "invalid")
                raise RejectMessage from error
            except Exception as error:
                log.exception("internal error while handling a message on %s", _subject(msg))
                if _deliveries(msg) < DELIVERIES_MAX:
                    raise NackMessage(delay=_delay(msg)) from error
                reason = f"{type(error).__name__}: {error}"
                await dead_letters.store(_subject(msg), msg.body, reason, "internal_error")
                raise RejectMessage from error

    return Redelivering


def refusal_reply(refusal: Refusal) -> Reply:
    """Return the reply to a refused command."""
    return Reply(outcome=Outcome.REFUSED, refusal=refusal)


def _delay(message: StreamMessage[Any]) -> float:
    return REDELIVERY.seconds(_deliveries(message))


def _deliveries(message: StreamMessage[Any]) -> int:
    return int(message.raw_message.metadata.num_delivered)


def _subject(message: StreamMessage[Any]) -> str:
    return str(message.raw_message.subject)
