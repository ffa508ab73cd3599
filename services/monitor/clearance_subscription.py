"""Takes the questions of schedulers from a connection, and answers them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from sluiceway.contracts import subjects
from sluiceway.contracts.measurements import Clearance, ClearanceRequest
from sluiceway.contracts.validation_errors import describe_errors
from sluiceway.errors import MessageTooLarge
from sluiceway.messaging.delivery import subscribed
from sluiceway.repeated_logs import RepeatedLogs

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

Clear = Callable[[ClearanceRequest], Awaitable[Clearance]]


class ClearanceSubscription:
    """Answers with `clear`. An invalid request or an internal error gets no answer: that holds the phase."""

    def __init__(self, client: Client, clear: Clear, workers: int) -> None:
        """`workers`: requests that are answered at the same time; the others wait as bytes."""
        self._client = client
        self._clear = clear
        self._free = asyncio.Semaphore(workers)
        self._answering: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer while the block runs."""
        subscription = await self._client.subscribe(
            subjects.CLEARANCE, queue=subjects.MONITOR_QUEUE, cb=self._on_message
        )
        await subscribed(self._client)
        try:
            yield
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()
            for task in self._answering:
                task.cancel()

    async def _on_message(self, message: Msg) -> None:
        await self._free.acquire()
        task = asyncio.ensure_future(self._answer(message))
        self._answering.add(task)
        task.add_done_callback(self._on_answered)

    def _on_answered(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        self._free.release()

    async def _answer(self, message: Msg) -> None:
        try:
            request = ClearanceRequest.model_validate_json(message.data, extra="ignore")
            clearance = await self._clear(request)
            if subjects.is_inbox(message.reply):  # on another subject it would be stored, or obeyed
                await self._publish(message.reply, clearance)
        except ValidationError as error:
            repeated.warning("invalid", "no answer to an invalid request: %s", describe_errors(error))
        except (NatsError, MessageTooLarge) as error:
            repeated.warning("reply", "cannot answer a scheduler: %s", error)
        except Exception:  # one request must not stop the others
            log.exception("internal error while answering a scheduler")

    async def _publish(self, reply_to: str, clearance: Clearance) -> None:
        """Send an answer, or as much of it as the broker takes: what it lacks is asked about again."""
        try:
            await self._client.publish(reply_to, clearance.to_json())
        except MessageTooLarge:
            if not clearance.others:
                raise
            fewer = clearance.others[: len(clearance.others) // 2]
            await self._publish(reply_to, clearance.model_copy(update={"others": fewer}))
