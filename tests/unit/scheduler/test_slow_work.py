"""What hangs holds up nothing else: it goes on at places of its own, and they are counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.scheduler import slow_work
from services.scheduler.slow_work import HeldPlaces, SlowWork
from sluiceway.tasks import cancel_and_wait
from tests.support.waiting import eventually
from tests.unit.scheduler.deadlines import System, waiting_phases

WORKERS = 20
EU, US = "eu", "us"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_work, "SLOW_SECONDS", 0.01)


@asynccontextmanager
async def slow_places(places: int) -> AsyncIterator[SlowWork]:
    slow = SlowWork(places)
    running = asyncio.create_task(slow.run())
    try:
        yield slow
    finally:
        await cancel_and_wait(running)


async def nothing(held: HeldPlaces) -> None:
    """Ends immediately."""


async def hang(held: HeldPlaces) -> None:
    await asyncio.Event().wait()


async def test_work_that_takes_long_is_not_waited_for_as_long_as_there_are_places() -> None:
    async with slow_places(30) as slow:
        await slow.do(hang, 10, EU)
        await slow.do(hang, 20, US)
        third = asyncio.create_task(slow.do(hang, 1, US))

        assert len(slow) == 30
        assert slow.is_crowded(US, 1)
        assert not slow.is_crowded("others", 1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not third.done()
        await cancel_and_wait(third)

    assert len(slow) == 0
    assert not slow.is_crowded(US, 31)


async def test_work_that_ends_soon_takes_no_place() -> None:
    async with slow_places(1) as slow:
        await slow.do(nothing, 1, EU)

        assert len(slow) == 0


async def test_work_that_waits_for_what_is_known_to_take_long_begins_aside() -> None:
    async with slow_places(2) as slow:
        await slow.do(hang, 1, EU)
        waiting = asyncio.create_task(slow.do(hang, 1, EU))
        await asyncio.sleep(0)

        assert waiting.done()
        assert len(slow) == 2


async def test_places_that_work_gives_back_are_free_for_other_work() -> None:
    async def keep_one(held: HeldPlaces) -> None:
        held.keep(2)
        held.give_back()
        await hang(held)

    async with slow_places(3) as slow:
        await slow.do(keep_one, 3, EU)

        assert len(slow) == 1
        assert not slow.is_crowded(EU, 100), "what it waited for has answered"
        await slow.do(hang, 2, EU)
        assert len(slow) == 3


async def test_an_error_of_slow_work_is_not_lost() -> None:
    let_go = asyncio.Event()

    async def fail(held: HeldPlaces) -> None:
        await let_go.wait()
        raise KeyError("dev")

    slow = SlowWork(1)
    running = asyncio.create_task(slow.run())
    await slow.do(fail, 1, EU)
    let_go.set()

    with pytest.raises(KeyError):
        await running


async def test_an_error_of_work_that_ends_soon_is_raised() -> None:
    async def fail(held: HeldPlaces) -> None:
        raise KeyError("dev")

    async with slow_places(1) as slow:
        with pytest.raises(KeyError):
            await slow.do(fail, 1, EU)


async def test_phases_that_hang_hold_one_place_each_and_not_those_of_all_that_were_due_with_them() -> None:
    system = System(workers=WORKERS)
    count = 5 * WORKERS
    waiting_phases(system, count)
    system.processor.hanging = {f"f{number}" for number in range(4)}

    async with system.running():
        await eventually(lambda: len(system.processor.alone) == count - 4, "all others have their answer")

        await eventually(lambda: len(system.deadlines._slow) == 4, "what hangs holds a place each")


async def test_regions_that_hang_take_half_of_all_places_at_most() -> None:
    system = System(workers=WORKERS)
    hanging = 5 * WORKERS
    system.clearance.regions = dict.fromkeys(range(1, hanging + 1), ("dev", "slow"))
    waiting_phases(system, hanging + 3 * WORKERS)

    async with system.running():
        await eventually(lambda: len(system.processor.alone) == 3 * WORKERS, "all others have their answer")
        await eventually(lambda: not system.deadlines._timers._running, "what hangs has left its place")

        assert 0 < len(system.deadlines._slow) <= WORKERS
    asked = {sequence for sequence in system.clearance.asked if sequence <= hanging}
    assert len(asked) <= WORKERS
    assert len(system.waiting) == hanging + 3 * WORKERS - len(asked)
