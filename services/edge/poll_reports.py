"""What official SDKs have applied, as their polls tell it: reported like our own client's."""

import asyncio
import logging
import time

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.identifiers import slug
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.publishing import StreamPublisher

log = logging.getLogger(__name__)

#: A report is written again after this time, well before it would vanish.
REPORT_AGAIN_SECONDS = 20.0
RETRY_SECONDS = 0.5
#: Processes that are remembered; beyond it the one that was silent for longest is forgotten.
SESSIONS_MAX = 10_000


class PollReports:
    """Collects what each process has applied, and writes it into APPLIED."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._reported: dict[str, tuple[int, float]] = {}
        self._due: dict[str, int] = {}
        self._awake = asyncio.Event()

    def note(self, session: str, sequence: int) -> None:
        """Take that a process holds everything up to a sequence of RULES."""
        instance = slug(session)
        if not instance:
            return
        known, at = self._reported.pop(instance, (-1, 0.0))
        now = time.monotonic()
        if known == sequence and now - at < REPORT_AGAIN_SECONDS:
            self._reported[instance] = (known, at)
            return
        self._reported[instance] = (sequence, now)
        while len(self._reported) > SESSIONS_MAX:
            self._reported.pop(next(iter(self._reported)))
        self._due[instance] = sequence
        self._awake.set()

    async def report(self, connection: Connection) -> None:
        """Write what is due, until cancelled."""
        publisher = StreamPublisher(connection, subjects.APPLIED_STREAM)
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._due:
                instance, sequence = next(iter(self._due.items()))
                report = AppliedReport(
                    region=self._region, instance=instance, sequence=sequence, time_ms=now_ms()
                )
                try:
                    await publisher.publish(subjects.applied(self._region, instance), report.to_json())
                except Unavailable as error:
                    log.info("cannot report what is applied: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if self._due.get(instance) == sequence:
                    del self._due[instance]
