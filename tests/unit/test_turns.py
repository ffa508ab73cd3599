"""Edits of the same document take turns; those of others do not wait."""

import asyncio

import pytest

from sluiceway import turns
from sluiceway.errors import Unavailable
from sluiceway.turns import Turns


async def test_the_second_waits_for_the_first_and_another_key_does_not() -> None:
    given, order = Turns(), list[str]()

    async def hold(name: str, key: str) -> None:
        async with given.of(key):
            order.append(name)

    async with asyncio.TaskGroup() as tasks, given.of("gate.a"):
        tasks.create_task(hold("second", "gate.a"))
        await tasks.create_task(hold("other", "gate.b"))
        order.append("first ends")

    assert order == ["other", "first ends", "second"]


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.01)
    given = Turns()

    async with given.of("gate.a"):
        with pytest.raises(Unavailable, match=r"too many requests for gate\.a"):
            async with given.of("gate.a"):
                pass

    async with given.of("gate.a"):  # it is free again
        pass
