"""Sends notifications to receivers.

Each receiver has consumers and tasks of its own: a slow one delays no other.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic import ValidationError

from sluiceway.clock import now_ms
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.identifiers import feature_of
from sluiceway.contracts.measurements import VerdictChanged
from sluiceway.errors import Rejected
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_log import LoggedEvent, parse_event
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.service import background_task

from . import metrics
from .notification_messages import (
    Notification,
    is_wanted,
    is_wanted_type,
    notification_of_event,
    notification_of_verdict,
    webhook_request,
)
from .receivers import Receiver

log = logging.getLogger(__name__)

DELIVERY_SECONDS = 5.0
#: A message that a monitor received, but died before it was sent on, is delivered again after this time.
ACK_WAIT_SECONDS = 30.0
#: Requests to one receiver at the same time, and notifications that wait for another attempt.
CONCURRENT_MAX = 4
WAITING_MAX = 256
#: A fetch that is under way when the broker restarts gets no answer for all of this time.
PULL_SECONDS = 1.0
BROKER_RETRY_SECONDS = 0.5
#: Statuses after which another attempt may succeed.
TRANSIENT = frozenset((408, 425, 429))

Parse = Callable[[Msg], Notification]


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait before another attempt, doubled each time, and when to give up."""

    first_seconds: float = 1.0
    longest_seconds: float = 300.0
    attempts: int = 12

    def delay(self, attempt: int) -> float:
        """Return the seconds after an attempt, counted from 1, with jitter."""
        base = min(self.first_seconds * 2.0 ** (attempt - 1), self.longest_seconds)
        return base * random.uniform(0.8, 1.2)  # noqa: S311 (not a secret)


class Undelivered(Exception):
    """A receiver did not accept a notification; `is_final`: another attempt would not help."""

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.is_final = is_final


@contextlib.asynccontextmanager
async def notifications(
    connection: Connection,
    features: FeatureView,
    receivers: Iterable[Receiver],
    dead_letters: DeadLetters,
    retries: RetryPolicy | None = None,
) -> AsyncIterator[None]:
    """Send every receiver the notifications that it subscribes to, while the block runs."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DELIVERY_SECONDS))
        )
        for receiver in receivers:
            deliveries = ReceiverDeliveries(
                connection, features, receiver, http, dead_letters, retries or RetryPolicy()
            )
            for work in (deliveries.run_events(), deliveries.run_verdicts()):
                await stack.enter_async_context(background_task(work, f"notify {receiver.name}"))
        yield


class ReceiverDeliveries:
    """The deliveries to one receiver."""

    def __init__(
        self,
        connection: Connection,
        features: FeatureView,
        receiver: Receiver,
        http: aiohttp.ClientSession,
        dead_letters: DeadLetters,
        retries: RetryPolicy,
    ) -> None:
        self._js = connection.js
        self._features = features
        self._receiver = receiver
        self._http = http
        self._dead_letters = dead_letters
        self._retries = retries

    async def run_events(self) -> None:
        """Deliver the events of features until cancelled."""
        await self._run(subjects.FEATURES_STREAM, subjects.FEATURES, self._parse_event)

    async def run_verdicts(self) -> None:
        """Deliver the verdicts of guardrails until cancelled."""
        await self._run(subjects.VERDICTS_STREAM, subjects.VERDICTS, self._parse_verdict)

    async def _run(self, stream: str, subject: str, parse: Parse) -> None:
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.NEW,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_ack_pending=WAITING_MAX,
        )
        while True:
            try:
                puller = await self._js.pull_subscribe(
                    subject, durable=f"notify-{self._receiver.name}", stream=stream, config=config
                )
                while True:
                    with contextlib.suppress(TimeoutError):
                        batch = await puller.fetch(CONCURRENT_MAX, timeout=PULL_SECONDS)
                        await asyncio.gather(*(self._handle(message, parse) for message in batch))
            except (NatsError, TimeoutError, OSError) as error:
                log.info("notify %s: cannot read %s now, retrying: %s", self._receiver.name, stream, error)
                await asyncio.sleep(BROKER_RETRY_SECONDS)

    async def _handle(self, message: Msg, parse: Parse) -> None:
        """Deliver one message, or let it come again later, or move it to the dead letters."""
        if not is_wanted_type(self._receiver, (message.headers or {}).get(envelope.CE_TYPE)):
            await message.ack()
            return
        try:
            notification = parse(message)
            if is_wanted(self._receiver, notification):
                await self._deliver(message, notification)
            else:
                await message.ack()
        except (Rejected, ValidationError):  # invalid: the service that decides by it reports it
            await message.ack()
        except NatsError:
            raise
        except Exception as error:
            log.exception("notify %s: internal error", self._receiver.name)
            await self._give_up(message, f"internal error ({type(error).__name__}: {error})")

    async def _deliver(self, message: Msg, notification: Notification) -> None:
        attempt = message.metadata.num_delivered or 1
        try:
            await self._send(notification)
        except Undelivered as error:
            if error.is_final or attempt >= self._retries.attempts:
                await self._give_up(message, f"{error}, after {attempt} attempts")
            else:
                metrics.NOTIFICATIONS.labels(self._receiver.name, "retried").inc()
                log.info("notify %s: attempt %s failed: %s", self._receiver.name, attempt, error)
                await message.nak(self._retries.delay(attempt))
            return
        metrics.NOTIFICATIONS.labels(self._receiver.name, "delivered").inc()
        await message.ack()

    async def _send(self, notification: Notification) -> None:
        body, headers = webhook_request(self._receiver, notification, now_ms() // 1_000)
        url = str(self._receiver.url)
        try:
            async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Undelivered(f"no answer ({type(error).__name__})", is_final=False) from error
        if not 200 <= status < 300:
            is_transient = status >= 500 or status in TRANSIENT
            raise Undelivered(f"the receiver answered {status}", is_final=not is_transient)

    async def _give_up(self, message: Msg, why: str) -> None:
        metrics.NOTIFICATIONS.labels(self._receiver.name, "dead").inc()
        reason = f"receiver {self._receiver.name}: {why}"
        await self._dead_letters.store(message.subject, message.data, reason, "undelivered")
        await message.term()

    def _parse_event(self, message: Msg) -> Notification:
        try:
            key = subjects.parse_feature(message.subject)
        except ValueError as error:
            raise Rejected(str(error)) from error
        event = parse_event(message.data, key)
        return notification_of_event(LoggedEvent(message.metadata.sequence.stream, event))

    def _parse_verdict(self, message: Msg) -> Notification:
        change = VerdictChanged.model_validate_json(message.data, extra="ignore")
        entry = self._features.get(feature_of(change.trigger))
        trigger = entry.event.feature.trigger if entry else None
        pipeline = trigger.pipeline.id if trigger and trigger.id == change.trigger else None
        return notification_of_verdict(message.metadata.sequence.stream, change, pipeline)
