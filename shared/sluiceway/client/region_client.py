"""Keeps the rules of a region current over NATS, and reports what is applied.

What is read from the start is staged, and replaces the rules as a whole; what follows is applied record
by record.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

from ..clock import now_ms
from ..contracts import subjects
from ..contracts.applied_reports import CHANGES_MAX, AppliedChange, AppliedReport
from ..errors import MessageTooLarge, Unavailable
from ..messaging.connection import Connection
from ..messaging.publishing import StreamPublisher
from ..messaging.rules_places import find_region
from ..messaging.stream_follower import Follower
from ..messaging.stream_records import START, Record
from ..repeated_logs import RepeatedLogs
from ..tasks import cancel_and_wait
from .region_rules import RegionRules
from .staged_set import StagedSet, parse_mark

log = logging.getLogger(__name__)

#: A report is repeated after this time, well before the broker removes it.
REPORT_EVERY_SECONDS = 20.0
#: What is applied within this time is reported together: reporting must not delay applying.
REPORT_DELAY_SECONDS = 0.2
REPORT_RETRY_SECONDS = 0.5
#: For the report that is due when a client stops.
LAST_REPORT_SECONDS = 0.5


class RegionClient:
    """Follows RULES into `rules` while the block runs, and reports into APPLIED what is applied."""

    def __init__(
        self, connection: Connection, rules: RegionRules, *, instance: str | None = None, report: bool = True
    ) -> None:
        self.rules = rules
        #: Called whenever the rules have become a whole and current set.
        self.on_complete: Callable[[], None] = lambda: None
        self._connection = connection
        self._repeated = RepeatedLogs(log)
        self._instance = instance or uuid.uuid4().hex[:12]
        self._is_reporting = report
        self._reports = StreamPublisher(connection, subjects.APPLIED_STREAM)
        self._unreported: list[AppliedChange] = []
        self._report_due = asyncio.Event()
        self._staged = None if rules.is_whole else StagedSet()
        #: Why the staged set does not replace the rules; logged once.
        self._missing: str | None = None
        self._is_complete = False
        self._is_read = asyncio.Event()
        self._stack = AsyncExitStack()
        self._follower = Follower(
            connection,
            subjects.RULES_STREAM,
            [subjects.rules_of(rules.region)],
            self._on_record,
            on_reset=self._stage,
            on_caught_up=self._on_caught_up,
            after=rules.position if rules.is_whole else START,
            find=partial(find_region, connection.replies, rules.region),
        )

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._follower)
        if self._is_reporting:
            self._stack.callback(self._connection.on_reconnect(self._report_due.set))
            reporting = asyncio.create_task(self._report_until_cancelled(), name="report")
            self._stack.push_async_callback(self._report_what_is_due)
            self._stack.push_async_callback(cancel_and_wait, reporting)
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stack.aclose()

    async def caught_up(self) -> None:
        """Return once everything that the region holds is applied.

        Rules from the cache that are kept, since what was read is not complete, count as well.
        """
        await self._is_read.wait()

    def is_complete(self) -> bool:
        """Return whether the rules are a whole and current set of the region, as far as it was followed."""
        return self._is_complete

    @property
    def missing(self) -> str | None:
        """Why the set that was read is not applied; None if it is, or is still being read."""
        return self._missing

    def _stage(self) -> None:
        self._is_complete = False
        self._staged = StagedSet()
        self._report_due.set()

    def _on_record(self, record: Record) -> None:
        try:
            if self._staged:
                self._staged.add(record)
            elif subjects.is_complete_set(record.subject):
                if mark := parse_mark(record):
                    self.rules.renew(mark, self._follower.position)
                    self._report_due.set()
            else:
                self._apply(record)
        except ValueError as error:
            self.rules.reject(record, error)
        if self._follower.is_caught_up:
            self._take_over_if_complete()

    def _apply(self, record: Record) -> None:
        is_live = self._follower.is_caught_up
        change = self.rules.apply(record, self._follower.position.created, is_live=is_live)
        if change and is_live:
            self._unreported.append(change)
            self._report_due.set()

    def _on_caught_up(self) -> None:
        self._take_over_if_complete()
        if not self._staged:
            self._complete()
            self.rules.on_change()
        elif self.rules.is_whole:
            self._is_read.set()

    def _take_over_if_complete(self) -> None:
        """Replace the rules by the staged set, if there is one and nothing is missing."""
        staged = self._staged
        if staged is None:
            return
        position, rules = self._follower.position, self.rules
        missing = staged.missing(
            held=len(rules), epoch=rules.epoch, sequence=rules.position.sequence, end=position.sequence
        )
        if missing or staged.mark is None:
            self._tell_missing(missing)
            return
        self._unreported += rules.take_over(staged, staged.mark, position)
        log.info("region %s: took over a set of %s features", rules.region, len(rules))
        self._staged = self._missing = None
        self._complete()
        self._report_due.set()

    def _complete(self) -> None:
        self._is_complete = True
        self._is_read.set()
        self.on_complete()

    def _tell_missing(self, missing: str | None) -> None:
        if missing != self._missing:
            kept = f"keeping {len(self.rules)} features" if self.rules.is_whole else "not ready"
            log.warning("region %s: %s, since the set was read, but %s", self.rules.region, kept, missing)
        self._missing = missing

    async def _report_until_cancelled(self) -> None:
        await self.caught_up()
        while True:
            self._report_due.clear()
            if not await self._report():
                await asyncio.sleep(REPORT_RETRY_SECONDS)
                continue
            if self._unreported:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_EVERY_SECONDS):
                    await self._report_due.wait()
            await asyncio.sleep(REPORT_DELAY_SECONDS)

    async def _report_what_is_due(self) -> None:
        """Report once more before the end, if there is something to report, and a broker to hear it."""
        is_due = self._is_read.is_set() and (self._report_due.is_set() or self._unreported)
        if is_due and self._connection.client.is_connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_REPORT_SECONDS):
                    await self._report()

    def applied_sequence(self) -> int:
        """Return how far RULES is applied: nothing is, as RULES is now, while a new set is staged."""
        return 0 if self._staged else self._follower.position.sequence

    async def _report(self) -> bool:
        self.rules.retry_store()
        changes = tuple(self._unreported[:CHANGES_MAX])
        report = AppliedReport(
            region=self.rules.region,
            instance=self._instance,
            sequence=self.applied_sequence(),
            stored_ms=self.rules.time_ms,
            time_ms=now_ms(),
            changes=changes,
        )
        try:
            await self._reports.publish(subjects.applied(self.rules.region, self._instance), report.to_json())
        except Unavailable as error:
            self._repeated.info("report", "cannot report the applied rules, trying again: %s", error)
            return False
        except MessageTooLarge as error:
            log.error("reporting no changes: %s", error)
        del self._unreported[: len(changes)]
        return True
