"""Tells receivers what happened. Each has consumers and tasks of its own: a slow one delays nobody else."""

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
from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import feature_of
from sluiceway.contracts.measurements import VerdictChanged
from sluiceway.errors import Rejected
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_log import LoggedEvent, parse_event
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.service import background_task

from . import metrics
from .notices import Notice, concerns, message_of, notice_of_event, notice_of_verdict
from .receivers import Receiver

log = logging.getLogger(__name__)

DELIVERY_SECONDS = 5.0
#: What a monitor took with it when it died is delivered again after this time.
ACK_WAIT_SECONDS = 30.0
#: Notices under way to one receiver, and those of it that wait for another attempt.
AT_ONCE = 4
WAITING_MAX = 256
#: A long fetch would stand still for as long when the broker restarts.
PULL_SECONDS = 1.0
BROKER_RETRY_SECONDS = 0.5
#: Answers after which another attempt may do better.
TRANSIENT = frozenset((408, 425, 429))

Read = Callable[[Msg], Notice]


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for another attempt, doubled each time, and when to give up."""

    first_seconds: float = 1.0
    longest_seconds: float = 300.0
    attempts: int = 12

    def delay(self, attempt: int) -> float:
        """Return the seconds after an attempt, counted from 1, with jitter."""
        base = min(self.first_seconds * 2.0 ** (attempt - 1), self.longest_seconds)
        return base * random.uniform(0.8, 1.2)  # noqa: S311 (no secret)


class Undelivered(Exception):
    """A receiver did not take a notice; `is_final`: another attempt would not help."""

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.is_final = is_final


@contextlib.asynccontextmanager
async def notifications(
    connection: Connection,
    features: FeatureView,
    receivers: Iterable[Receiver],
    dead_letters: DeadLetters,
    pace: RetryPolicy | None = None,
) -> AsyncIterator[None]:
    """Tell every receiver what it wants to hear, while the block runs."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DELIVERY_SECONDS))
        )
        for receiver in receivers:
            deliveries = ReceiverDeliveries(
                connection, features, receiver, http, dead_letters, pace or RetryPolicy()
            )
            for work in (deliveries.tell_events(), deliveries.tell_verdicts()):
                await stack.enter_async_context(background_task(work, f"notify {receiver.name}"))
        yield


class ReceiverDeliveries:
    """All that goes to one receiver."""

    def __init__(
        self,
        connection: Connection,
        features: FeatureView,
        receiver: Receiver,
        http: aiohttp.ClientSession,
        dead_letters: DeadLetters,
        pace: RetryPolicy,
    ) -> None:
        self._js = connection.js
        self._features = features
        self._receiver = receiver
        self._http = http
        self._dead_letters = dead_letters
        self._pace = pace

    async def tell_events(self) -> None:
        """Tell what happens to features, until cancelled."""
        await self._tell(subjects.FEATURES_STREAM, subjects.FEATURES, self._event)

    async def tell_verdicts(self) -> None:
        """Tell what guardrails say, until cancelled."""
        await self._tell(subjects.VERDICTS_STREAM, subjects.VERDICTS, self._verdict)

    async def _tell(self, stream: str, subject: str, read: Read) -> None:
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
                        batch = await puller.fetch(AT_ONCE, timeout=PULL_SECONDS)
                        await asyncio.gather(*(self._take(message, read) for message in batch))
            except (NatsError, TimeoutError, OSError) as error:
                log.info("notify %s: %s cannot be read now: %s", self._receiver.name, stream, error)
                await asyncio.sleep(BROKER_RETRY_SECONDS)

    async def _take(self, message: Msg, read: Read) -> None:
        """Deliver one message, or see to it that it comes again later, or keep it with the dead letters."""
        try:
            notice = read(message)
            if concerns(self._receiver, notice):
                await self._deliver(message, notice)
            else:
                await message.ack()
        except (Rejected, ValidationError):  # no event: whoever decides by it tells it already
            await message.ack()
        except NatsError:
            raise
        except Exception as error:
            log.exception("a fault of ours with a notice to %s", self._receiver.name)
            await self._give_up(message, f"a fault of ours ({type(error).__name__}: {error})")

    async def _deliver(self, message: Msg, notice: Notice) -> None:
        attempt = message.metadata.num_delivered or 1
        try:
            await self._send(notice)
        except Undelivered as error:
            if error.is_final or attempt >= self._pace.attempts:
                await self._give_up(message, f"{error}, after {attempt} attempts")
            else:
                metrics.NOTIFICATIONS.labels(self._receiver.name, "retried").inc()
                log.info("notify %s: %s, attempt %s", self._receiver.name, error, attempt)
                await message.nak(self._pace.delay(attempt))
            return
        metrics.NOTIFICATIONS.labels(self._receiver.name, "delivered").inc()
        await message.ack()

    async def _send(self, notice: Notice) -> None:
        body, headers = message_of(self._receiver, notice, now_ms() // 1_000)
        url = str(self._receiver.url)
        try:
            async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Undelivered(f"no answer ({type(error).__name__})", is_final=False) from error
        if not 200 <= status < 300:
            may_do_better = status >= 500 or status in TRANSIENT
            raise Undelivered(f"the receiver answered {status}", is_final=not may_do_better)

    async def _give_up(self, message: Msg, why: str) -> None:
        metrics.NOTIFICATIONS.labels(self._receiver.name, "dead").inc()
        reason = f"receiver {self._receiver.name}: {why}"
        await self._dead_letters.store(message.subject, message.data, reason, "undelivered")
        await message.term()

    def _event(self, message: Msg) -> Notice:
        event = parse_event(message.data, subjects.parse_feature(message.subject))
        return notice_of_event(LoggedEvent(message.metadata.sequence.stream, event))

    def _verdict(self, message: Msg) -> Notice:
        change = VerdictChanged.model_validate_json(message.data, extra="ignore")
        entry = self._features.get(feature_of(change.trigger))
        trigger = entry.event.feature.trigger if entry else None
        pipeline = trigger.pipeline.id if trigger and trigger.id == change.trigger else None
        return notice_of_verdict(message.metadata.sequence.stream, change, pipeline)
