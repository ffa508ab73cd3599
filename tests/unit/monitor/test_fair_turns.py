"""Whose message is handled next."""

import asyncio

import pytest

from services.monitor.fair_turns import FairTurns


class Work:
    """Messages that are handled in the order of their turns, one step of the test at a time."""

    def __init__(self, at_once: int, of_sender: int) -> None:
        self.turns = FairTurns(at_once, of_sender)
        self.started: list[str] = []
        self.ended: dict[str, asyncio.Event] = {}

    def arrives(self, sender: str, n: int = 0) -> asyncio.Task[None]:
        return asyncio.create_task(self._handle(sender, f"{sender}{n}"))

    async def _handle(self, sender: str, name: str) -> None:
        self.ended[name] = asyncio.Event()
        async with self.turns.turn(sender):
            self.started.append(name)
            await self.ended[name].wait()


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
