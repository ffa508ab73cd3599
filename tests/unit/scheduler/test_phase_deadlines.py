"""Which deadlines wait, how often held phases are tried again, and what a newer event does to both."""

import pytest
from prometheus_client import REGISTRY

from services.scheduler.clearance_client import Holds
from services.scheduler.phase_deadlines import (
    ARRIVAL_MS,
    GIVE_WAY_MS,
    HELD_RETRIES_PER_SECOND,
    HELD_RETRY_MS,
    TOO_LARGE_RETRY_MS,
    PhaseDeadline,
)
from sluiceway.contracts.commands import PauseTrigger, UnpauseTrigger
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.replies import Outcome
from sluiceway.errors import Rejected
from sluiceway.timers import VOID_MAX
from tests.support.builders import a_release
from tests.support.waiting import eventually
from tests.unit.scheduler.deadlines import System, answered, due_events, held_events, waiting_phases


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
