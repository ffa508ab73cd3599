"""The deadlines of all phases: a phase whose bake is over is advanced, by the replica that comes first."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts.commands import AdvancePhase
from sluiceway.contracts.events import EventType
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from sluiceway.errors import Rejected, RetryLater
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.pipelines.freezes import is_freeze
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.tasks import run_together
from sluiceway.timers import Timers

from . import metrics
from .baked_phase import BakedPhase
from .clearance_client import ClearanceClient, Holds
from .command_processor import CommandProcessor
from .slow_work import HeldPlaces, SlowWork

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

ACTOR = "scheduler"
#: Phases that are cleared and left together,
TOGETHER_MAX = 50
#: fewer if they cover many regions: so many documents of RULES are read for them.
DOCUMENTS_TOGETHER_MAX = 1_000
#: A held phase is tried again after this time, doubled each time it is still held.
HELD_RETRY_MS = 500
HELD_RETRY_MAX_MS = 4_000
#: Held phases that are tried again per second: the more there are, the longer each of them waits.
HELD_RETRIES_PER_SECOND = 500
#: Rules take a moment to reach their regions: a phase that waits for them alone is asked about again after
#: this time, doubled each time,
ARRIVAL_RETRY_MS = 100
#: and is held in the log only if that takes longer.
ARRIVAL_MS = 2_000
#: A replica that others were faster than leaves them this time for each phase, in which most of them are
#: decided; if the others are dead, that is how late one phase is, once.
GIVE_WAY_MS = 25
#: A decision that could not be stored is tried again after this time.
FAILED_RETRY_MS = 200
#: One that is larger than the broker takes, after this: its limit may have been raised.
TOO_LARGE_RETRY_MS = 30_000
#: A phase that waits for a region that takes long, while as many others do as may, is asked about after this.
CROWDED_RETRY_MS = 500


class PhaseDeadline(NamedTuple):
    """A feature whose phase is due, the event that set the deadline, and the retry interval while held."""

    key: FeatureKey
    sequence: int
    retry_ms: int = HELD_RETRY_MS
    #: Since when the phase only waits for rules to reach their regions.
    arriving_ms: int | None = None
    #: Whether another replica has had its time for it.
    gave_way: bool = False


class _DuePhase(NamedTuple):
    deadline: PhaseDeadline
    phase: BakedPhase


class _Attempt(NamedTuple):
    """A due phase, and the command that is sent about it."""

    due: _DuePhase
    command: AdvancePhase


class _Awaited(NamedTuple):
    """What a due phase waits for: rules in these regions and, with `reports`, their reports."""

    regions: tuple[str, ...]
    reports: bool


class PhaseDeadlines:
    """Advances every phase whose bake is over."""

    def __init__(
        self,
        processor: CommandProcessor,
        features: FeatureView,
        clearance: ClearanceClient,
        clock: Clock,
        workers: int,
        may_run: Callable[[], bool] = lambda: True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`may_run`: whether phases may be advanced now; otherwise the deadlines wait."""
        self._processor = processor
        self._features = features
        self._clearance = clearance
        self._clock = clock
        self._chance = chance
        #: Whether another replica comes first: its events are awaited before anything is asked for.
        self._gives_way = False
        #: As much of it as of what has just begun: what hangs takes no more than half of all that is in work.
        self._slow = SlowWork(workers)
        self._timers = Timers(
            self._run_due,
            clock,
            workers,
            may_run,
            key=lambda deadline: deadline.key,
            together=TOGETHER_MAX,
            split=self._split,
        )
        metrics.PHASE_OVERDUE_SECONDS.set_function(self._overdue_seconds)
        metrics.HELD_TRIGGERS.set_function(lambda: len(self._held))
        #: Phases that were due and have not been left, and since when they are due.
        self._due: dict[FeatureKey, int] = {}
        self._held: set[FeatureKey] = set()
        #: Those of them that are held by freezes alone.
        self._frozen: set[FeatureKey] = set()
        #: Phases that have to wait for a place, since regions take long.
        self._crowded: set[FeatureKey] = set()

    def schedule(self, entry: FeatureEntry) -> None:
        """Schedule the deadline in a feature's newest event, in place of the one before."""
        self._forget(entry.key)
        if entry.due_ms is None:
            self._timers.discard(entry.key)
            return
        at_ms = entry.due_ms
        if entry.type is EventType.PHASE_HELD:
            self._due[entry.key] = entry.due_ms
            self._held.add(entry.key)
            trigger = entry.event.feature.active_trigger
            if trigger and all(is_freeze(hold) for hold in trigger.held):
                self._frozen.add(entry.key)
            at_ms = self._clock() + self._held_retry_ms(HELD_RETRY_MS)
        self._timers.push(at_ms, PhaseDeadline(entry.key, entry.sequence))

    def _forget(self, key: FeatureKey) -> None:
        self._due.pop(key, None)
        self._held.discard(key)
        self._frozen.discard(key)
        self._crowded.discard(key)

    def reset(self) -> None:
        """Forget which phases are held: the log went back, and each of its events is scheduled again."""
        self._due.clear()
        self._held.clear()
        self._frozen.clear()
        self._crowded.clear()

    async def run(self) -> None:
        """Advance what is due until cancelled."""
        await run_together(self._timers.run(), self._slow.run())

    def _split(self, deadlines: Sequence[PhaseDeadline]) -> Iterable[Sequence[PhaseDeadline]]:
        """Yield the phases that wait for the same: nobody waits for the regions of another phase."""
        groups = defaultdict[_Awaited, list[PhaseDeadline]](list)
        for deadline in deadlines:
            groups[self._awaited_by(deadline)].append(deadline)
        for awaited, group in groups.items():
            count = max(1, DOCUMENTS_TOGETHER_MAX // max(1, len(awaited.regions)))
            for first in range(0, len(group), count):
                yield group[first : first + count]

    def _awaited_by(self, deadline: PhaseDeadline) -> _Awaited:
        entry = self._features.get(deadline.key)
        try:
            if entry and (trigger := (event := entry.event).feature.active_trigger):
                regions = self._clearance.regions_of(BakedPhase(event, entry.sequence))
                return _Awaited(regions, trigger.pipeline.require_confirmation)
        except Rejected:  # which is said when it is its turn
            pass
        return _Awaited((), False)

    async def _run_due(self, deadlines: Sequence[PhaseDeadline]) -> None:
        """Advance phases that wait for the same; return earlier if that takes long."""
        awaited = self._awaited_by(deadlines[0])
        if self._slow.is_crowded(awaited, len(deadlines)):
            self._crowded.update(deadline.key for deadline in deadlines)
            for deadline in deadlines:
                self._try_again(_spread_ms(CROWDED_RETRY_MS, len(self._crowded)), deadline)
            return
        self._crowded.difference_update(deadline.key for deadline in deadlines)
        await self._slow.do(partial(self._run_together, deadlines), len(deadlines), awaited)

    async def _run_together(self, deadlines: Sequence[PhaseDeadline], held: HeldPlaces) -> None:
        due = [found for deadline in deadlines if (found := self._due_phase(deadline))]
        try:
            if due:
                await self._advance(due, held)
        except RetryLater as error:
            for each in due:
                self._retry_failed(each.deadline, error)
        except Rejected as error:
            if len(due) == 1:
                self._retry_rejected(due[0].deadline, error)
            else:  # because of one of them, perhaps
                alone = (self._run_together([each.deadline], HeldPlaces(1, None)) for each in due)
                await asyncio.gather(*alone)

    def _due_phase(self, deadline: PhaseDeadline) -> _DuePhase | None:
        """Return what is to be left now; None if a newer event came, or another replica comes first."""
        entry = self._features.get(deadline.key)
        if entry is None or entry.sequence != deadline.sequence:
            return None
        if self._gives_way and not deadline.gave_way:
            self._try_again(GIVE_WAY_MS, deadline._replace(gave_way=True))
            return None
        try:
            event = entry.event
        except Rejected as error:
            self._retry_rejected(deadline, error)
            return None
        trigger = event.feature.active_trigger
        if trigger is None:
            return None
        self._due[deadline.key] = trigger.due_ms or self._clock()
        return _DuePhase(deadline, BakedPhase(event, entry.sequence))

    async def _advance(self, due: Sequence[_DuePhase], held: HeldPlaces) -> None:
        """Advance phases that wait for the same: with one write, but those that need a second look.

        These may take many attempts: of the places that are held, only theirs are kept.
        """
        found = await self._clearance.holds([each.phase for each in due])
        attempts = [
            _Attempt(each, command)
            for each, holds in zip(due, found, strict=True)
            if (command := self._command(each, holds))
        ]
        replies = await self._processor.process_together([attempt.command for attempt in attempts])
        others = []
        for attempt in attempts:
            if reply := replies.get(attempt.command.id):
                self._conclude(attempt.due, reply)
            else:
                others.append(self._advance_alone(attempt, held))
        held.keep(len(others))
        await asyncio.gather(*others)

    async def _advance_alone(self, attempt: _Attempt, held: HeldPlaces) -> None:
        try:
            self._conclude(attempt.due, await self._processor.process(attempt.command))
        except RetryLater as error:
            self._retry_failed(attempt.due.deadline, error)
        except Rejected as error:
            self._retry_rejected(attempt.due.deadline, error)
        held.give_back()

    def _command(self, due: _DuePhase, found: Holds) -> AdvancePhase | None:
        """Return the command that leaves a phase, or holds it; None if its rules only need a moment more."""
        deadline, trigger, now_ms = due.deadline, due.phase.trigger, self._clock()
        # The clock may have been set back since.
        arriving_ms = now_ms if deadline.arriving_ms is None else min(deadline.arriving_ms, now_ms)
        is_arriving = not trigger.held and now_ms - arriving_ms < ARRIVAL_MS
        if found.by_regions and not found.by_guardrails and is_arriving:
            retry = deadline._replace(arriving_ms=arriving_ms)
            self._try_again(max(ARRIVAL_RETRY_MS, now_ms - arriving_ms), retry)
            return None
        holds = found.by_guardrails + (() if is_arriving else found.by_regions)
        return AdvancePhase(
            id=f"advance-{trigger.id}-{deadline.sequence}-{'held' if holds else 'left'}",
            actor=ACTOR,
            trigger=trigger.id,
            phase_id=due.phase.phase.id,
            holds=holds,
            cleared_revision=deadline.sequence,
        )

    def _conclude(self, due: _DuePhase, reply: Reply) -> None:
        """Do what follows from the answer to the command about a phase."""
        repeated.end("advance", "phases are advanced again")
        deadline, trigger = due.deadline, due.phase.trigger
        self._note_race(deadline, won=reply.outcome is Outcome.ACCEPTED)
        newest = reply.feature.active_trigger if reply.feature else None
        is_held = bool(newest and newest.held)  # by the clearance, or by a freeze
        if reply.outcome is not Outcome.ACCEPTED and (reply.revision or 0) > deadline.sequence:
            return  # a newer event is stored, which has its own deadline
        if is_held and reply.outcome is Outcome.UNCHANGED:
            retry = deadline._replace(retry_ms=min(2 * deadline.retry_ms, HELD_RETRY_MAX_MS))
            self._try_again(self._held_retry_ms(deadline.retry_ms), retry)
        elif not is_held and reply.outcome is Outcome.ACCEPTED and trigger.due_ms is not None:
            metrics.PHASE_LATE_SECONDS.observe((self._clock() - trigger.due_ms) / 1_000)
        elif reply.refusal and reply.refusal.code is RefusalCode.TOO_LARGE:
            log.error("%s stays in its phase: %s", trigger.id, reply.refusal.message)
            self._try_again(TOO_LARGE_RETRY_MS, deadline)
        elif reply.outcome is not Outcome.ACCEPTED:  # as when the broker's clock was set back (`NOT_DUE`)
            self._try_again(deadline.retry_ms, deadline)

    def _retry_failed(self, deadline: PhaseDeadline, error: RetryLater) -> None:
        repeated.warning("advance", "could not advance %s, trying again: %s", deadline.key, error)
        self._try_again(FAILED_RETRY_MS, deadline)

    def _retry_rejected(self, deadline: PhaseDeadline, error: Rejected) -> None:
        repeated.error(("rejected", deadline.key), "could not advance %s: %s", deadline.key, error)
        self._try_again(TOO_LARGE_RETRY_MS, deadline)

    def _note_race(self, deadline: PhaseDeadline, *, won: bool) -> None:
        """Give way to a faster replica from now on, or no longer to one that was slower.

        By chance, since all of several replicas may have lost: one of them must go on as before.
        """
        if won:
            self._gives_way = False
        elif not self._is_newest(deadline):
            self._gives_way = self._chance() < 0.5

    def _is_newest(self, deadline: PhaseDeadline) -> bool:
        """Return whether no newer event is known than the one that set a deadline."""
        entry = self._features.get(deadline.key)
        return entry is not None and entry.sequence == deadline.sequence

    def _try_again(self, after_ms: int, deadline: PhaseDeadline) -> None:
        """Try a deadline again, unless a newer event has taken its place: that has its own."""
        if self._is_newest(deadline):
            self._timers.push(self._clock() + after_ms, deadline)

    def _held_retry_ms(self, wanted_ms: int) -> int:
        return _spread_ms(wanted_ms, len(self._held))

    def _overdue_seconds(self) -> float:
        """Return how long the longest overdue phase has been due; a frozen one is not overdue."""
        due = [due_ms for key, due_ms in self._due.items() if key not in self._frozen]
        first = self._timers.first()
        if first and first[1].key not in self._frozen:  # it waits for a worker, if it is due
            due.append(first[0])
        return max(0, self._clock() - min(due)) / 1_000 if due else 0.0


def _spread_ms(wanted_ms: int, count: int) -> int:
    """Return after which time each of `count` phases is tried again: longer if they are many."""
    return max(wanted_ms, count * 1_000 // HELD_RETRIES_PER_SECOND)
