"""Whose message is handled next."""

import asyncio

import pytest

from services.monitor.fair_turns import FairTurns, NoTurn

SIZE_BYTES = 10


class Work:
    """Messages that are handled in the order of their turns, one step of the test at a time."""

    def __init__(
        self, at_once: int, of_sender: int, waiting_of_sender: int = 10_000, waiting_bytes_max: int = 10**6
    ) -> None:
        self.turns = FairTurns(
            at_once, of_sender, waiting_of_sender=waiting_of_sender, waiting_bytes_max=waiting_bytes_max
        )
        self.refused: list[str] = []
        self.started: list[str] = []
        self.ended: dict[str, asyncio.Event] = {}

    def arrives(self, sender: str, n: int = 0) -> asyncio.Task[None]:
        return asyncio.create_task(self._handle(sender, f"{sender}{n}"))

    async def _handle(self, sender: str, name: str) -> None:
        self.ended[name] = asyncio.Event()
        try:
            async with self.turns.turn(sender, SIZE_BYTES):
                self.started.append(name)
                await self.ended[name].wait()
        except NoTurn:
            self.refused.append(name)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_flood_of_one_sender_takes_only_its_own_places() -> None:
    work = Work(at_once=8, of_sender=3)
    tasks = [work.arrives("eve", n) for n in range(1_000)]
    await settle()

    tasks.append(work.arrives("ada"))
    await settle()

    assert work.started == ["eve0", "eve1", "eve2", "ada0"]
    for task in tasks:
        task.cancel()


async def test_senders_are_served_in_turn() -> None:
    work = Work(at_once=1, of_sender=1)
    tasks = [work.arrives("eve", n) for n in range(3)] + [work.arrives("ada", n) for n in range(3)]
    await settle()

    for _ in range(6):
        work.ended[work.started[-1]].set()
        await settle()

    assert work.started == ["eve0", "eve1", "ada0", "eve2", "ada1", "ada2"]
    await asyncio.gather(*tasks)
    assert not work.turns._running
    assert not work.turns._waiting


async def test_whoever_stops_waiting_takes_no_place() -> None:
    work = Work(at_once=1, of_sender=1)
    first, waiting = work.arrives("eve"), work.arrives("ada")
    await settle()

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    work.ended["eve0"].set()
    await first
    last = work.arrives("bob")
    await settle()

    assert work.started == ["eve0", "bob0"]
    work.ended["bob0"].set()
    await last


async def test_a_turn_that_comes_just_when_nobody_waits_any_more_goes_to_the_next() -> None:
    work = Work(at_once=1, of_sender=1)
    tasks = [work.arrives(name) for name in ("eve", "ada", "bob")]
    await settle()

    work.ended["eve0"].set()
    await asyncio.sleep(0)
    tasks[1].cancel()
    await settle()

    assert work.started == ["eve0", "bob0"]
    tasks[2].cancel()


async def test_of_each_sender_so_many_wait_and_newer_ones_get_no_turn() -> None:
    work = Work(at_once=1, of_sender=1, waiting_of_sender=2)
    tasks = [work.arrives("eve", n) for n in range(5)] + [work.arrives("ada")]
    await settle()

    assert work.refused == ["eve3", "eve4"]
    assert work.turns.waiting("eve") == 2
    assert work.turns.waiting("ada") == 1
    for task in tasks:
        task.cancel()


async def test_the_sender_with_the_most_bytes_gives_way_to_others() -> None:
    work = Work(at_once=1, of_sender=1, waiting_bytes_max=4 * SIZE_BYTES)
    tasks = [work.arrives("eve", n) for n in range(5)] + [work.arrives("ada", n) for n in range(3)]
    await settle()

    assert sorted(work.refused) == ["ada2", "eve3", "eve4"]
    assert work.turns.waiting_bytes == 4 * SIZE_BYTES
    for task in tasks:
        task.cancel()


async def test_whoever_stops_waiting_leaves_room() -> None:
    work = Work(at_once=1, of_sender=1, waiting_of_sender=1)
    tasks = [work.arrives("eve", n) for n in range(2)]
    await settle()

    tasks[1].cancel()
    await settle()
    tasks.append(work.arrives("eve", 2))
    await settle()

    assert work.refused == []
    assert work.turns.waiting_bytes == SIZE_BYTES
    for task in tasks:
        task.cancel()


async def test_once_closed_only_what_has_a_turn_ends() -> None:
    work = Work(at_once=1, of_sender=1)
    tasks = [work.arrives("eve", n) for n in range(2)]
    await settle()

    work.turns.close()
    tasks.append(work.arrives("ada"))
    work.ended["eve0"].set()
    await asyncio.gather(*tasks)

    assert work.started == ["eve0"]
    assert sorted(work.refused) == ["ada0", "eve1"]
    assert work.turns.waiting_bytes == 0
