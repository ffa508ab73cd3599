"""What official SDKs have applied, as their polls show; reported in the same way as by our own clients."""

import asyncio
import logging
import time
from typing import NamedTuple

from cachetools import LRUCache

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.identifiers import slug
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.publishing import StreamPublisher
from sluiceway.messaging.stream_follower import Position

log = logging.getLogger(__name__)

#: A report is repeated after this time, well before the broker removes it.
REPORT_AGAIN_SECONDS = 20.0
RETRY_SECONDS = 0.5
#: SDK processes that are remembered; the one that was silent for longest is forgotten first.
SESSIONS_MAX = 10_000


class _Report(NamedTuple):
    position: Position
    at: float


class PollReports:
    """Collects what each SDK process has applied, and publishes it to APPLIED."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._last: LRUCache[str, _Report] = LRUCache(SESSIONS_MAX)
        self._due: dict[str, Position] = {}
        self._has_due = asyncio.Event()

    def add(self, session: str, position: Position) -> None:
        """Record that a process has applied everything up to a position in RULES."""
        instance = slug(session)
        if not instance:
            return
        last, now = self._last.get(instance), time.monotonic()
        if last and last.position == position and now - last.at < REPORT_AGAIN_SECONDS:
            return
        if instance not in self._due and len(self._due) >= SESSIONS_MAX:
            return
        self._last[instance] = _Report(position, now)
        self._due[instance] = position
        self._has_due.set()

    @property
    def has_due(self) -> bool:
        """Whether a report waits to be published."""
        return bool(self._due)

    async def run(self, connection: Connection) -> None:
        """Publish reports until cancelled."""
        publisher = StreamPublisher(connection, subjects.APPLIED_STREAM)
        while True:
            await self._has_due.wait()
            self._has_due.clear()
            while self._due:
                instance, position = next(iter(self._due.items()))
                if not await self._publish(publisher, instance, position):
                    await asyncio.sleep(RETRY_SECONDS)
                elif self._due.get(instance) == position:
                    del self._due[instance]

    async def _publish(self, publisher: StreamPublisher, instance: str, position: Position) -> bool:
        report = AppliedReport(
            region=self._region,
            instance=instance,
            sequence=position.sequence,
            stored_ms=position.time_ms,
            time_ms=now_ms(),
        )
        try:
            await publisher.publish(subjects.applied(self._region, instance), report.to_json())
        except Unavailable as error:
            log.info("cannot report the rules that SDKs have applied, trying again: %s", error)
            return False
        return True
