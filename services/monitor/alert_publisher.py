"""Stores the alerts of a webhook in ALERTS: each firing once, and not more than the stream keeps unanswered.

Beyond that, the stream would drop the oldest alerts of the source, perhaps before they are answered.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from cachetools import TTLCache
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert, AlertStatus
from sluiceway.errors import MessageTooLarge, Unavailable, error_text
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.publishing import StreamPublisher
from sluiceway.pipelines.alert_matches import DYNAMIC_CONFIG, GATE, PIPELINE

#: Alerts that wait for the broker at the same time.
PUBLISHING_MAX = 256
#: Replicas of the monitor that may have alerts of the webhook in the stream at the same time.
REPLICAS_MAX = 4
#: Subjects for what a source's own one has no place for, used in turn: a group has 50,000 alerts at most.
PARTS = 1_000
#: For alerts that were stored before to be answered, if all of those are full.
PLACE_SECONDS = 60.0
PLACE_EVERY_SECONDS = 0.02
#: An Alertmanager repeats an alert while it fires. So many firings are remembered, for so long: one that is
#: forgotten is stored again, and answered as the same one.
FIRINGS_MAX = 50_000
FIRING_SECONDS = 86_400.0
RELEASE_LABELS = frozenset((GATE, DYNAMIC_CONFIG, PIPELINE))


class RejectedAlert(NamedTuple):
    """An alert that is not stored, and why."""

    data: bytes
    reason: str


class AlertPublisher:
    """Publishes alerts as one source.

    They have no message id: the ids of ALERTS are one name space, so any other source could use up ours.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._stored: TTLCache[bytes, bool] = TTLCache(FIRINGS_MAX, FIRING_SECONDS)
        #: The sequences of alerts that may be unanswered.
        self._unanswered: deque[int] = deque()
        self._part = 0
        self._publishing = asyncio.Lock()

    async def publish_all(self, alerts: Sequence[Alert], connection: Connection) -> list[RejectedAlert]:
        """Store all alerts, and return those that the broker does not take.

        `Unavailable` if it does not answer; those that were stored are not stored again.

        Those that name a release come first: a rollback must not wait for thousands of others.
        """
        new = sorted(filter(self._is_new, alerts), key=_names_nothing)
        async with self._publishing:
            remaining = iter(zip(new, await self._subjects(len(new), connection), strict=True))
            publisher = StreamPublisher(connection, subjects.ALERTS_STREAM)
            too_large: list[RejectedAlert] = []

            async def publish() -> None:
                for alert, subject in remaining:
                    try:
                        await self._publish(alert, subject, publisher)
                    except MessageTooLarge as error:
                        too_large.append(RejectedAlert(alert.to_json(), str(error)))

            results = await asyncio.gather(
                *(publish() for _ in range(min(PUBLISHING_MAX, len(new)))), return_exceptions=True
            )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return too_large

    async def _publish(self, alert: Alert, subject: str, publisher: StreamPublisher) -> None:
        self._unanswered.append(await publisher.publish(subject, alert.to_json()))
        if firing := _firing(alert):
            self._stored[firing] = True

    def _is_new(self, alert: Alert) -> bool:
        return _firing(alert) not in self._stored

    async def _subjects(self, count: int, connection: Connection) -> list[str]:
        """Return a subject for each alert, on which none is dropped; `Unavailable` if there is none."""
        place = await self._place(connection)
        if await self._has_place(count, place, connection):
            return [subjects.alert(self._source)] * count
        until = time.monotonic() + PLACE_SECONDS
        while not await self._has_place(count, place * PARTS, connection):
            if time.monotonic() > until:
                waiting = len(self._unanswered)
                self._unanswered.clear()  # after ALERTS went back, nobody answers these
                raise Unavailable(f"{waiting} alerts before these are not answered yet")
            await asyncio.sleep(PLACE_EVERY_SECONDS)
        first = self._part
        self._part = (first + count // place + 1) % PARTS
        return [subjects.alert(self._source, (first + n // place) % PARTS) for n in range(count)]

    async def _has_place(self, count: int, place: int, connection: Connection) -> bool:
        if len(self._unanswered) + count > place:
            answered = await self._answered(connection)
            while self._unanswered and self._unanswered[0] <= answered:
                self._unanswered.popleft()
        return len(self._unanswered) + count <= place

    async def _place(self, connection: Connection) -> int:
        """Return how many alerts of ours may be unanswered on each subject."""
        try:
            config = (await connection.js.stream_info(subjects.ALERTS_STREAM)).config
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot look at the stream ALERTS: {error_text(error)}") from error
        kept = config.max_msgs_per_subject or 0
        return max(1, min(PUBLISHING_MAX, kept // REPLICAS_MAX)) if kept > 0 else PUBLISHING_MAX

    async def _answered(self, connection: Connection) -> int:
        """Return up to which sequence every alert is answered."""
        try:
            info = await connection.js.consumer_info(subjects.ALERTS_STREAM, subjects.MONITOR_DURABLE)
        except NotFoundError:
            return 0
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot look at the consumer of alerts: {error_text(error)}") from error
        return info.ack_floor.stream_seq if info.ack_floor else 0


def _names_nothing(alert: Alert) -> bool:
    return alert.status is not AlertStatus.FIRING or not RELEASE_LABELS & alert.labels.keys()


def _firing(alert: Alert) -> bytes | None:
    """Return what tells a firing, or its end, from others; None if nothing does."""
    if alert.fingerprint is None:
        return None
    return hashlib.sha256(f"{alert.fingerprint}\n{alert.starts_at}\n{alert.status}".encode()).digest()
