"""Which due phases are cleared and decided together, and that none waits for others that are slow."""

from services.scheduler.phase_deadlines import (
    DOCUMENTS_TOGETHER_MAX,
    FAILED_RETRY_MS,
    TOGETHER_MAX,
)
from sluiceway.contracts.replies import Outcome
from tests.support.waiting import eventually
from tests.unit.scheduler.deadlines import System, answered, due_events, waiting_phases


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
