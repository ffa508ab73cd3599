"""Keeps the rules of a region current over NATS, and reports what is applied."""

import asyncio
import contextlib
import logging
import uuid
from contextlib import AsyncExitStack
from typing import Any, Self

from ..clock import now_ms
from ..contracts import subjects
from ..contracts.applied_reports import CHANGES_MAX, AppliedChange, AppliedReport
from ..errors import Unavailable
from ..messaging.connection import Connection
from ..messaging.publishing import StreamPublisher
from ..messaging.stream_follower import Follower, Record
from ..tasks import cancel_and_wait
from .region_rules import RegionRules

log = logging.getLogger(__name__)

#: A report is repeated after this time, well before the broker removes it.
REPORT_EVERY_SECONDS = 20.0
REPORT_RETRY_SECONDS = 0.5


class RegionClient:
    """Follows RULES into `rules` while the block runs, and reports into APPLIED what is applied."""

    def __init__(
        self, connection: Connection, rules: RegionRules, *, instance: str | None = None, report: bool = True
    ) -> None:
        self.rules = rules
        self._connection = connection
        self._instance = instance or uuid.uuid4().hex[:12]
        self._is_reporting = report
        self._reports = StreamPublisher(connection, subjects.APPLIED_STREAM)
        self._unreported: list[AppliedChange] = []
        self._report_due = asyncio.Event()
        self._stack = AsyncExitStack()
        self._follower = Follower(
            connection,
            subjects.RULES_STREAM,
            [subjects.rules_of(rules.region)],
            self._on_record,
            on_reset=rules.reset,
            on_caught_up=lambda: rules.on_change(),
            after=rules.position,
        )

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._follower)
        if self._is_reporting:
            self._stack.callback(self._connection.on_reconnect(self._report_due.set))
            reporting = asyncio.create_task(self._report_until_cancelled(), name="report")
            self._stack.push_async_callback(cancel_and_wait, reporting)
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stack.aclose()

    async def caught_up(self) -> None:
        """Return once everything that the region holds is applied."""
        await self._follower.caught_up()

    def is_complete(self) -> bool:
        """Return whether the rules are a whole state of the region, not part of one being read."""
        return self._follower.is_caught_up

    def _on_record(self, record: Record) -> None:
        is_live = self._follower.is_caught_up
        change = self.rules.apply(record, self._follower.position.created, is_live=is_live)
        if change and is_live:
            self._unreported.append(change)
            self._report_due.set()

    async def _report_until_cancelled(self) -> None:
        await self.caught_up()
        while True:
            self._report_due.clear()
            if not await self._report():
                await asyncio.sleep(REPORT_RETRY_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if self._unreported else REPORT_EVERY_SECONDS):
                    await self._report_due.wait()

    async def _report(self) -> bool:
        changes = tuple(self._unreported[:CHANGES_MAX])
        report = AppliedReport(
            region=self.rules.region,
            instance=self._instance,
            sequence=self._follower.position.sequence,
            time_ms=now_ms(),
            changes=changes,
        )
        try:
            await self._reports.publish(subjects.applied(self.rules.region, self._instance), report.to_json())
        except Unavailable as error:
            log.info("cannot report the applied rules, trying again: %s", error)
            return False
        del self._unreported[: len(changes)]
        return True
