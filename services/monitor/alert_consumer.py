"""The consumer that delivers alerts: it must exist, and not deliver again what waits or is being handled.

FastStream does not notice if it is gone.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from faststream import BaseMiddleware, StreamMessage
from faststream.exceptions import NackMessage
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from sluiceway.contracts import subjects
from sluiceway.errors import Unavailable, error_text

from . import metrics
from .fair_turns import FairTurns, NoTurn

log = logging.getLogger(__name__)

CHECK_EVERY_SECONDS = 5.0
#: An alert that a monitor received, but died before it answered, is delivered again after this time.
ACK_WAIT_SECONDS = 5.0
#: Before an alert that got no turn is delivered again: the stream keeps it, unless newer ones evict it.
HANDED_BACK_SECONDS = 1.0
#: Memory of an alert that waits, beside its bytes, and that of a header.
WAITING_ALERT_BYTES = 8 * 1024
HEADER_BYTES = 256


async def watch_alert_consumer(js: JetStreamContext) -> None:
    """Raise `Unavailable` once the consumer was deleted; a new process creates it again.

    It then delivers the alerts of the stream again, which is harmless: a command has the same id each time.
    """
    while True:
        await asyncio.sleep(CHECK_EVERY_SECONDS)
        try:
            await js.consumer_info(subjects.ALERTS_STREAM, subjects.MONITOR_DURABLE)
        except NotFoundError as error:
            consumer = f"the consumer {subjects.MONITOR_DURABLE} of the stream {subjects.ALERTS_STREAM}"
            raise Unavailable(f"{consumer} was deleted, so no alert arrives") from error
        except (NatsError, TimeoutError) as error:
            log.debug("cannot look at the consumer of alerts now: %s", error_text(error))


def turns_middleware(turns: FairTurns) -> Callable[..., BaseMiddleware[Any, Any]]:
    """Return the middleware with which an alert waits for its turn, as bytes, or is handed back."""

    class TakingTurns(BaseMiddleware[Any, Any]):
        async def consume_scope(
            self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]
        ) -> Any:
            raw = msg.raw_message
            sender = subjects.parse_sender(raw.subject)
            try:
                async with in_progress(raw, ACK_WAIT_SECONDS / 3), turns.turn(sender, _size_bytes(raw)):
                    return await call_next(msg)
            except NoTurn as error:
                metrics.ALERTS.labels("handed_back").inc()
                raise NackMessage(delay=HANDED_BACK_SECONDS) from error

    return TakingTurns


def _size_bytes(message: Msg) -> int:
    headers = message.headers or {}
    header_bytes = sum(len(name) + len(value) + HEADER_BYTES for name, value in headers.items())
    return len(message.data) + header_bytes + WAITING_ALERT_BYTES


@asynccontextmanager
async def in_progress(message: Msg, every_seconds: float) -> AsyncIterator[None]:
    """Keep the broker from delivering a message again while the block runs."""

    async def say_so() -> None:
        while True:
            await asyncio.sleep(every_seconds)
            with contextlib.suppress(
                NatsError
            ):  # the connection comes back, or the message is delivered again
                await message.in_progress()

    task = asyncio.create_task(say_so())
    try:
        yield
    finally:
        task.cancel()
