"""Which deadlines wait, how often held phases are tried again, and what a newer event does to both."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.scheduler.baked_phase import BakedPhase
from services.scheduler.clearance_client import Holds
from services.scheduler.phase_deadlines import (
    ARRIVAL_MS,
    DOCUMENTS_TOGETHER_MAX,
    FAILED_RETRY_MS,
    GIVE_WAY_MS,
    HELD_RETRIES_PER_SECOND,
    HELD_RETRY_MS,
    TOGETHER_MAX,
    TOO_LARGE_RETRY_MS,
    PhaseDeadline,
    PhaseDeadlines,
)
from sluiceway.contracts.commands import AdvancePhase, PauseTrigger, UnpauseTrigger
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, trigger_id
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.tasks import cancel_and_wait
from sluiceway.timers import VOID_MAX
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
        self._view = view

    async def process_together(self, commands: Sequence[AdvancePhase]) -> dict[str, Reply]:
        if self.is_unavailable:
            raise Unavailable("the log does not answer")
        return {command.id: self._reply(command) for command in commands} if self.stores_together else {}

    async def process(self, command: AdvancePhase) -> Reply:
        if self.error:
            raise self.error
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


async def test_a_trigger_that_is_paused_again_and_again_leaves_one_deadline() -> None:
    system, ledger = System(), a_release()

    for number in range(2 * VOID_MAX):
        ledger.act(UnpauseTrigger if number % 2 else PauseTrigger, after_ms=1)
        system.append(ledger.events[-1], number)

    assert system.waiting == [(ledger.trigger.due_ms, 2 * VOID_MAX - 1)]
    assert len(system.deadlines._timers._heap) < VOID_MAX + 3


async def test_a_paused_trigger_has_no_deadline() -> None:
    system, ledger = System(), a_release()
    system.append(ledger.events[-1], 1)
    ledger.act(PauseTrigger)

    system.append(ledger.events[-1], 2)

    assert system.waiting == []


async def test_held_phases_are_tried_again_at_a_bounded_rate() -> None:
    system, few = System(), 10
    count = 4 * HELD_RETRIES_PER_SECOND

    for number, event in enumerate(held_events(count)):
        system.append(event, number)

    times = [at_ms - system.now for at_ms, _ in system.waiting]
    assert times[:few] == [HELD_RETRY_MS] * few, "few are tried again soon"
    assert times[-1] == count * 1_000 // HELD_RETRIES_PER_SECOND
    assert sum(2_000 <= at_ms < 3_000 for at_ms in times) == HELD_RETRIES_PER_SECOND


async def test_a_phase_that_stays_held_takes_no_place_of_a_newer_event() -> None:
    system = System()
    (held,) = held_events(1)
    system.append(held, 1)
    system.clearance.let_go.clear()
    system.now += HELD_RETRY_MS

    async with system.running():
        await eventually(lambda: system.clearance.asked == [1], "the monitor is asked")
        newer = held.model_copy(update={"type": EventType.BAKE_EXTENDED})
        system.append(newer, 2)
        system.clearance.let_go.set()
        await eventually(lambda: 2 in system.clearance.asked, "the newer event is decided")

    assert {sequence for _, sequence in system.waiting} <= {2}
    assert system.clearance.asked.count(1) == 1


def due_events(count: int) -> Iterable[FeatureEvent]:
    """Give the events of as many features whose phase is due."""
    held = tuple(held_events(count))
    return [event.model_copy(update={"type": EventType.BAKE_EXTENDED}) for event in held]


async def lose_a_race(system: System, event: FeatureEvent) -> None:
    """Let another replica decide a phase while this one has asked for its clearance."""
    system.clearance.let_go.clear()
    system.append(event, 1)
    await eventually(lambda: system.clearance.asked == [1], "the monitor is asked")
    paused = event.feature.trigger
    assert paused
    feature = event.feature.changed(trigger=paused.model_copy(update={"due_ms": None}))
    system.append(event.model_copy(update={"feature": feature}), 2)
    system.clearance.let_go.set()
    await eventually(lambda: not system.deadlines._timers._running, "it is over")


async def test_a_replica_that_lost_a_race_asks_nothing_about_what_another_decides() -> None:
    system, (first, second) = System(chance=0.0), due_events(2)

    async with system.running():
        await lose_a_race(system, first)
        system.append(second, 3)
        await eventually(lambda: system.waiting == [(system.now + GIVE_WAY_MS, 3)], "it gives way")
        system.append(second.model_copy(update={"feature": second.feature.changed(trigger=None)}), 4)
        system.now += 2 * GIVE_WAY_MS

        assert system.waiting == []
        assert system.clearance.asked == [1]


async def test_a_replica_whose_rival_is_dead_decides_after_a_moment_and_gives_way_no_more() -> None:
    system, (first, second, third) = System(chance=0.0), due_events(3)

    async with system.running():
        await lose_a_race(system, first)
        system.processor.outcome = Outcome.ACCEPTED
        system.append(second, 3)
        await eventually(lambda: system.waiting == [(system.now + GIVE_WAY_MS, 3)], "it gives way")
        system.now += GIVE_WAY_MS
        await eventually(lambda: system.clearance.asked == [1, 3], "it decides itself")
        system.append(third, 4)
        await eventually(lambda: system.clearance.asked == [1, 3, 4], "it decides immediately")


def waiting_phases(system: System, count: int) -> None:
    """Let so many phases be due, all at the same moment."""
    for number, event in enumerate(due_events(count), 1):
        system.append(event, number)


async def answered(system: System, count: int) -> None:
    """Return once so many phases were asked about, and nothing more is in work."""
    await eventually(lambda: len(system.clearance.asked) == count, "all are asked about")
    await eventually(lambda: not system.deadlines._timers._running, "all have their answer")


async def test_phases_in_the_same_regions_are_cleared_and_decided_together() -> None:
    count = 2 * TOGETHER_MAX + 10
    system = System(workers=count)
    system.processor.stores_together, system.processor.outcome = True, Outcome.ACCEPTED
    waiting_phases(system, count)

    async with system.running():
        await answered(system, count)

    assert list(map(len, system.clearance.asked_together)) == [TOGETHER_MAX, TOGETHER_MAX, 10]
    assert system.processor.alone == []


async def test_a_slow_region_delays_no_phase_in_other_regions() -> None:
    system = System(workers=20)
    system.clearance.regions = dict.fromkeys(range(1, 6), ("dev", "slow"))
    waiting_phases(system, 60)

    async with system.running():
        await eventually(lambda: len(system.waiting) == 55, "all others have their answer")

    assert {sequence for _, sequence in system.waiting} == set(range(6, 61))


async def test_a_phase_that_needs_no_confirmation_is_not_asked_about_with_one_that_does() -> None:
    system = System(workers=20)
    for number, event in enumerate(due_events(6), 1):
        trigger = event.feature.trigger
        assert trigger
        pipeline = trigger.pipeline.model_copy(update={"require_confirmation": number % 2 == 0})
        feature = event.feature.changed(trigger=trigger.model_copy(update={"pipeline": pipeline}))
        system.append(event.model_copy(update={"feature": feature}), number)

    async with system.running():
        await answered(system, 6)

    assert sorted(map(sorted, system.clearance.asked_together)) == [[1, 3, 5], [2, 4, 6]]


async def test_phases_in_many_regions_are_asked_about_in_smaller_groups() -> None:
    system = System(workers=20)
    many = tuple(f"r{number}" for number in range(DOCUMENTS_TOGETHER_MAX // 4))
    system.clearance.regions = dict.fromkeys(range(1, 11), many)
    waiting_phases(system, 10)

    async with system.running():
        await answered(system, 10)

    assert list(map(len, system.clearance.asked_together)) == [4, 4, 2]


async def test_phases_that_cannot_be_stored_together_are_decided_alone() -> None:
    system = System(workers=20)
    waiting_phases(system, 3)

    async with system.running():
        await answered(system, 3)

    assert len(set(system.processor.alone)) == 3
    assert len(system.clearance.asked_together) == 1


async def test_phases_are_tried_again_together_after_the_log_did_not_answer() -> None:
    system = System(workers=20)
    system.processor.is_unavailable = True
    waiting_phases(system, 3)

    async with system.running():
        await answered(system, 3)
        assert {at_ms - system.now for at_ms, _ in system.waiting} == {FAILED_RETRY_MS}
        system.processor.is_unavailable = False
        system.processor.stores_together, system.processor.outcome = True, Outcome.ACCEPTED
        system.now += FAILED_RETRY_MS
        system.append(next(iter(due_events(1))), 9)  # which wakes the timers
        await eventually(lambda: system.waiting == [], "all are decided")

    assert sorted(system.clearance.asked) == [1, 2, 2, 3, 3, 9]


def a_due_event() -> FeatureEvent:
    """Return the start of a release, whose first phase is due at the time of `System`."""
    return a_release().events[-1]


@pytest.mark.parametrize("revision", [None, 4, 5])
async def test_a_deadline_that_nothing_newer_replaces_is_tried_again(revision: int | None) -> None:
    """Whatever the answer is: it may come from a state that is older than the event."""
    system = System()
    system.processor.revision = revision

    async with system.running():
        system.append(a_due_event(), 5)
        await eventually(lambda: system.waiting == [(system.now + HELD_RETRY_MS, 5)], "it is tried again")


async def test_a_deadline_is_dropped_for_a_newer_event_alone() -> None:
    system = System()
    system.processor.revision = 6

    async with system.running():
        system.append(a_due_event(), 5)
        await eventually(lambda: system.clearance.asked == [5], "it is decided")
        await eventually(lambda: not system.deadlines._timers._running, "it is over")

    assert system.waiting == []


async def test_a_deadline_that_cannot_be_handled_is_kept() -> None:
    system = System()
    system.processor.error = Rejected("too large")

    async with system.running():
        system.append(a_due_event(), 5)
        await eventually(
            lambda: system.waiting == [(system.now + TOO_LARGE_RETRY_MS, 5)], "it is tried again"
        )


async def test_a_phase_that_waits_for_rules_is_held_in_time_although_the_clock_was_set_back() -> None:
    system = System()
    system.clearance.found = Holds((), ("region dev: not published yet",))
    system.append(event := a_due_event(), 5)
    await system.deadlines._run_due([PhaseDeadline(event.feature.key, 5)])
    assert system.processor.alone == []

    system.now -= 3_600_000
    await system.deadlines._run_due([system.next])
    assert system.processor.alone == []
    system.now += ARRIVAL_MS
    await system.deadlines._run_due([system.next])

    assert [id_.rpartition("-")[2] for id_ in system.processor.alone] == ["held"]


async def test_a_phase_that_can_never_be_cleared_holds_no_other_up() -> None:
    system = System(workers=20)
    system.clearance.rejected = {2}
    waiting_phases(system, 3)

    async with system.running():
        await answered(system, 2)

    assert sorted(system.clearance.asked) == [1, 3]
    assert (system.now + TOO_LARGE_RETRY_MS, 2) in system.waiting


async def test_the_longest_overdue_phase_is_measured_without_a_look_at_all_features() -> None:
    system, ledger = System(), a_release()
    system.append(ledger.events[-1], 1)
    for number, event in enumerate(held_events(2), 2):
        system.append(event, number)

    system.now += 5_000

    assert REGISTRY.get_sample_value("sluiceway_phase_overdue_seconds") == 5
    assert REGISTRY.get_sample_value("sluiceway_held_triggers") == 2
