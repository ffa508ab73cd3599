"""The consumer that delivers alerts: it must exist, and not deliver again what is being handled.

FastStream does not notice if it is gone.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from sluiceway.contracts import subjects
from sluiceway.errors import Unavailable, error_text

log = logging.getLogger(__name__)

CHECK_EVERY_SECONDS = 5.0


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
