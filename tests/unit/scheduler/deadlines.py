"""The deadlines of a scheduler without a broker: what they ask and decide is in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from services.scheduler.baked_phase import BakedPhase
from services.scheduler.clearance_client import Holds
from services.scheduler.phase_deadlines import (
    PhaseDeadline,
    PhaseDeadlines,
)
from sluiceway.contracts.commands import AdvancePhase
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, trigger_id
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.tasks import cancel_and_wait
from tests.support.builders import BAKE, NOW, a_release, happened
from tests.support.waiting import eventually


class FakeView:
    """The newest event of each feature; nobody may look at all of them."""

    def __init__(self) -> None:
        self.entries: dict[FeatureKey, FeatureEntry] = {}

    def get(self, key: FeatureKey) -> FeatureEntry | None:
        return self.entries.get(key)


class FakeClearance:
    """Holds every phase; answers wait until they are let go, those of slow regions for ever."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.asked_together: list[list[int]] = []
        self.let_go = asyncio.Event()
        self.let_go.set()
        #: The regions of a phase, by the sequence of its event.
        self.regions: dict[int, tuple[str, ...]] = {}
        #: Why each phase may not be left.
        self.found = Holds(("errors",), ())
        #: Phases that can never be asked about, by the sequence of their event.
        self.rejected: set[int] = set()

    def regions_of(self, phase: BakedPhase) -> tuple[str, ...]:
        return self.regions.get(phase.revision, ("dev",))

    async def holds(self, phases: Sequence[BakedPhase]) -> list[Holds]:
        if self.rejected & {phase.revision for phase in phases}:
            raise Rejected("too large")
        self.asked_together.append([phase.revision for phase in phases])
        self.asked += self.asked_together[-1]
        if "slow" in self.regions_of(phases[0]):
            await asyncio.Event().wait()
        await self.let_go.wait()
        return [self.found] * len(phases)


class FakeProcessor:
    """Answers each command in the same way."""

    def __init__(self, view: FakeView) -> None:
        self.outcome = Outcome.UNCHANGED
        #: Whether commands can be stored together.
        self.stores_together = False
        self.is_unavailable = False
        self.alone: list[str] = []
        #: The sequence of the newest event that the log has, if that is said.
        self.revision: int | None = None
        self.error: Rejected | None = None
        #: Features whose commands get no answer.
        self.hanging: set[str] = set()
        self._view = view

    async def process_together(self, commands: Sequence[AdvancePhase]) -> dict[str, Reply]:
        if self.is_unavailable:
            raise Unavailable("the log does not answer")
        return {command.id: self._reply(command) for command in commands} if self.stores_together else {}

    async def process(self, command: AdvancePhase) -> Reply:
        if self.error:
            raise self.error
        if command.key.name in self.hanging:
            await asyncio.Event().wait()
        self.alone.append(command.id)
        return self._reply(command)

    def _reply(self, command: AdvancePhase) -> Reply:
        entry = self._view.entries[command.key]
        return Reply(outcome=self.outcome, feature=entry.event.feature, revision=self.revision)


class System:
    """The deadlines of a scheduler, and all that they use; `chance`: what decides whether it gives way."""

    def __init__(self, chance: float = 1.0, workers: int = 10) -> None:
        #: When the bake of a release that has just started is over.
        self.now = NOW + BAKE
        self.view = FakeView()
        self.clearance = FakeClearance()
        self.processor = FakeProcessor(self.view)
        ports: tuple[Any, Any, Any] = (self.processor, self.view, self.clearance)
        self.deadlines = PhaseDeadlines(*ports, lambda: self.now, workers, chance=lambda: chance)

    def append(self, event: FeatureEvent, sequence: int) -> None:
        key = event.feature.key
        self.view.entries[key] = FeatureEntry(key, sequence, headers_of(event, ""), data=event.to_json())
        self.deadlines.schedule(self.view.entries[key])

    @property
    def waiting(self) -> list[tuple[int, int]]:
        """When each deadline is due, and the sequence of its event."""
        timers = self.deadlines._timers
        return sorted(
            (at_ms, timers._items[number].sequence)
            for at_ms, number in timers._heap
            if number in timers._items
        )

    @property
    def next(self) -> PhaseDeadline:
        """The deadline that is tried next, whenever that is."""
        first = self.deadlines._timers.first()
        assert first
        return first[1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.deadlines.run())
        try:
            yield
        finally:
            await cancel_and_wait(task)


def held_events(count: int) -> Iterable[FeatureEvent]:
    """Give the events of as many features whose phase is held."""
    ledger = a_release()
    event = happened(ledger.act(AdvancePhase, holds=("errors",), after_ms=BAKE))
    feature, trigger = event.feature, ledger.trigger
    for number in range(count):
        name = f"f{number}"
        id_ = trigger_id(feature.key._replace(name=name), 1)
        changed = feature.changed(name=name, trigger=trigger.model_copy(update={"id": id_}))
        yield event.model_copy(update={"feature": changed})


def due_events(count: int) -> Iterable[FeatureEvent]:
    """Give the events of as many features whose phase is due."""
    held = tuple(held_events(count))
    return [event.model_copy(update={"type": EventType.BAKE_EXTENDED}) for event in held]


def waiting_phases(system: System, count: int) -> None:
    """Let so many phases be due, all at the same moment."""
    for number, event in enumerate(due_events(count), 1):
        system.append(event, number)


async def answered(system: System, count: int) -> None:
    """Return once so many phases were asked about, and nothing more is in work."""
    await eventually(lambda: len(system.clearance.asked) == count, "all are asked about")
    await eventually(
        lambda: not (system.deadlines._timers._running or len(system.deadlines._slow)),
        "all have their answer",
    )
