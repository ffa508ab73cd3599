"""The heap of deadlines: what is due is decided, by whichever replica comes first."""

import asyncio
import contextlib
import heapq
import logging
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts.commands import AdvancePhase
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.replies import Outcome
from sluiceway.errors import Rejected, RetryLater
from sluiceway.messaging.feature_view import Entry, FeatureView
from sluiceway.telemetry import metrics

from .clearance import Clearance
from .decisions import Decisions

log = logging.getLogger(__name__)

ACTOR = "scheduler"
#: A phase that is held is asked about again after this time.
HELD_RETRY_MS = 500
#: A decision that could not be stored is tried again after this time.
FAILED_RETRY_MS = 200
#: The clock is looked at at least so often, should it jump.
LOOK_AGAIN_SECONDS = 1.0


class Deadline(NamedTuple):
    """When to look at a feature, and the event that set the deadline."""

    at_ms: int
    key: FeatureKey
    sequence: int


class Ticker:
    """Advances every phase whose bake is over."""

    def __init__(
        self, decisions: Decisions, features: FeatureView, clearance: Clearance, clock: Clock, workers: int
    ) -> None:
        self._decisions = decisions
        self._features = features
        self._clearance = clearance
        self._clock = clock
        self._heap: list[Deadline] = []
        self._earlier = asyncio.Event()
        self._free = asyncio.Semaphore(workers)
        self._running: set[asyncio.Task[None]] = set()

    def note(self, entry: Entry) -> None:
        """Take the deadline of a feature's newest event."""
        if entry.due_ms is not None:
            self._push(Deadline(entry.due_ms, entry.key, entry.sequence))

    async def run(self) -> None:
        """Tick until cancelled."""
        try:
            while True:
                await self._until_due()
                while self._heap and self._heap[0].at_ms <= self._clock():
                    await self._free.acquire()
                    self._start(heapq.heappop(self._heap))
        finally:
            for task in self._running:
                task.cancel()

    async def _until_due(self) -> None:
        self._earlier.clear()
        wait = LOOK_AGAIN_SECONDS
        if self._heap:
            wait = min(wait, max(0, self._heap[0].at_ms - self._clock()) / 1_000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._earlier.wait()

    def _push(self, deadline: Deadline) -> None:
        heapq.heappush(self._heap, deadline)
        if self._heap[0] is deadline:
            self._earlier.set()

    def _start(self, deadline: Deadline) -> None:
        task = asyncio.create_task(self._meet(deadline))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: self._free.release())

    async def _meet(self, deadline: Deadline) -> None:
        entry = self._features.get(deadline.key)
        if entry is None or entry.sequence != deadline.sequence:
            return
        try:
            trigger = entry.event.feature.active_trigger
            if trigger:
                await self._advance(trigger, deadline)
        except RetryLater as error:
            log.warning("%s cannot be advanced now: %s", deadline.key, error)
            self._push(deadline._replace(at_ms=self._clock() + FAILED_RETRY_MS))
        except Rejected as error:
            log.error("%s cannot be advanced: %s", deadline.key, error)

    async def _advance(self, trigger: Trigger, deadline: Deadline) -> None:
        holds = await self._clearance.holds(deadline.key, trigger)
        command = AdvancePhase(
            id=f"advance-{trigger.id}-{deadline.sequence}-{'held' if holds else 'left'}",
            actor=ACTOR,
            trigger=trigger.id,
            phase_id=trigger.current_run.phase.id,
            holds=holds,
        )
        reply = await self._decisions.settle(command)
        if holds:
            self._push(deadline._replace(at_ms=self._clock() + HELD_RETRY_MS))
        elif reply.outcome is Outcome.ACCEPTED and trigger.due_ms is not None:
            metrics.PHASE_LATE_SECONDS.observe((self._clock() - trigger.due_ms) / 1_000)
