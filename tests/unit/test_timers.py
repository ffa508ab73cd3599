"""A heap of times whose handling can be suspended."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import pytest

from sluiceway.tasks import cancel_and_wait
from sluiceway.timers import VOID_MAX, Timers, one_by_one
from tests.support.waiting import eventually


async def test_what_is_due_waits_while_nothing_may_run() -> None:
    handled: list[str] = []
    permitted = False

    async def handle(item: str) -> None:
        handled.append(item)

    timers = Timers(one_by_one(handle), lambda: 1_000, workers=1, may_run=lambda: permitted)
    timers.push(1, "due")
    running = asyncio.create_task(timers.run())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.Event().wait()
    assert handled == []

    permitted = True
    await eventually(lambda: handled == ["due"], "it is handled")
    await cancel_and_wait(running)


class Appointments(NamedTuple):
    """Handled items, and timers in which each name has one time only."""

    handled: list[tuple[str, int]]
    timers: Timers[tuple[str, int]]

    @classmethod
    def at(cls, now_ms: int = 1_000, workers: int = 1) -> "Appointments":
        handled: list[tuple[str, int]] = []

        async def handle(item: tuple[str, int]) -> None:
            handled.append(item)

        return cls(handled, Timers(one_by_one(handle), lambda: now_ms, workers, key=lambda item: item[0]))


async def test_what_has_waited_longest_comes_first() -> None:
    handled, timers = Appointments.at()
    for at_ms in (500, 100, 2_000, 300):
        timers.push(at_ms, (f"at {at_ms}", at_ms))

    running = asyncio.create_task(timers.run())
    await eventually(lambda: len(handled) == 3, "all that is due is handled")

    await cancel_and_wait(running)
    assert [at_ms for _, at_ms in handled] == [100, 300, 500]


async def test_an_item_takes_the_place_of_the_one_before_it() -> None:
    handled, timers = Appointments.at()
    for number in range(3):
        timers.push(100 - number, ("a", number))
        timers.push(100 + number, ("b", number))
    timers.push(1, ("c", 0))
    timers.discard("c")

    running = asyncio.create_task(timers.run())
    await eventually(lambda: len(handled) == 2, "the newest ones are handled")

    await cancel_and_wait(running)
    assert handled == [("a", 2), ("b", 2)]


async def test_times_that_were_replaced_do_not_pile_up() -> None:
    _, timers = Appointments.at()

    for number in range(20_000):
        timers.push(10**9 + number, ("a trigger that is paused and unpaused", number))
        timers.push(10**9, (f"another {number % 100}", number))

    assert len(timers) == 101
    assert len(timers._heap) <= 2 * 101 + VOID_MAX


async def test_what_is_forgotten_while_all_places_are_taken_is_not_handled() -> None:
    handled: list[str] = []
    let_go = asyncio.Event()

    async def handle(item: str) -> None:
        handled.append(item)
        await let_go.wait()

    timers = Timers(one_by_one(handle), lambda: 1_000, workers=1, key=lambda item: item)
    timers.push(1, "first")
    timers.push(2, "second")
    timers.push(2_000, "later")
    running = asyncio.create_task(timers.run())
    await eventually(lambda: handled == ["first"], "the only place is taken")

    timers.discard("second")
    let_go.set()
    await eventually(lambda: not timers._running, "the place is free")

    await cancel_and_wait(running)
    assert handled == ["first"]
    assert len(timers) == 1


async def order_of_one_process() -> list[str]:
    """Return in which order a process handles 100 items of the same time, and one that waits longer."""
    handled, timers = Appointments.at()
    for number in range(100):
        timers.push(500, (f"{number}", number))
    timers.push(400, ("first", 0))
    running = asyncio.create_task(timers.run())
    await eventually(lambda: len(handled) == 101, "all are handled")
    await cancel_and_wait(running)
    return [name for name, _ in handled]


async def test_two_processes_begin_with_different_items_of_the_same_time() -> None:
    one, other = await order_of_one_process(), await order_of_one_process()

    assert one != other
    assert sorted(one) == sorted(other)
    assert (one[0], other[0]) == ("first", "first")


class Groups:
    """Timers that hand out items together: those whose names begin alike. They stay in work until let go."""

    def __init__(self, *names: str, workers: int, together: int) -> None:
        self.handled: list[str] = []
        self.let_go = {name[0]: asyncio.Event() for name in names}
        self.timers = Timers(self._handle, lambda: 1_000, workers, together=together, split=self._split)
        for number, name in enumerate(names):
            self.timers.push(number, name)

    async def _handle(self, names: Sequence[str]) -> None:
        self.handled.append(" ".join(names))
        await self.let_go[names[0][0]].wait()

    def _split(self, names: Sequence[str]) -> Iterable[Sequence[str]]:
        return [tuple(group) for _, group in groupby(sorted(names), key=lambda name: name[0])]


async def test_items_are_handled_together_within_the_places_that_are_free() -> None:
    groups = Groups(*(f"a{number}" for number in range(7)), workers=5, together=3)

    running = asyncio.create_task(groups.timers.run())
    await eventually(lambda: groups.handled == ["a0 a1 a2", "a3 a4"], "all places are taken")
    groups.let_go["a"].set()
    await eventually(lambda: groups.handled[2:] == ["a5 a6"], "the rest follows")

    await cancel_and_wait(running)


async def test_a_part_that_takes_long_keeps_its_own_places_and_no_other_waiting() -> None:
    groups = Groups("s1", "f1", "s2", "f2", "f3", "f4", "f5", workers=4, together=4)

    running = asyncio.create_task(groups.timers.run())
    await eventually(lambda: groups.handled == ["f1 f2", "s1 s2"], "all places are taken")
    groups.let_go["f"].set()
    await eventually(lambda: groups.handled[2:] == ["f3 f4", "f5"], "others have the places of the fast part")

    await cancel_and_wait(running)


async def test_work_that_cancels_itself_is_an_error() -> None:
    async def handle(item: str) -> None:
        raise asyncio.CancelledError

    timers = Timers(one_by_one(handle), lambda: 1_000, workers=1)
    timers.push(1, "due")

    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="cancelled itself"):
            await timers.run()


async def test_work_that_is_cancelled_with_the_timers_is_no_error() -> None:
    started = asyncio.Event()

    async def handle(item: str) -> None:
        started.set()
        await asyncio.Event().wait()

    timers = Timers(one_by_one(handle), lambda: 1_000, workers=1)
    timers.push(1, "due")
    running = asyncio.create_task(timers.run())
    await started.wait()

    await cancel_and_wait(running)

    await eventually(lambda: not timers._running, "its work is cancelled")
    assert timers._error is None
