"""A heap of times whose handling can be suspended."""

import asyncio
import contextlib

from sluiceway.tasks import cancel_and_wait
from sluiceway.timers import Timers
from tests.support.waiting import eventually


async def test_what_is_due_waits_while_nothing_may_run() -> None:
    handled: list[str] = []
    permitted = False

    async def handle(item: str) -> None:
        handled.append(item)

    timers = Timers(handle, lambda: 1_000, workers=1, may_run=lambda: permitted)
    timers.push(1, "due")
    running = asyncio.create_task(timers.run())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.Event().wait()
    assert handled == []

    permitted = True
    await eventually(lambda: handled == ["due"], "it is handled")
    await cancel_and_wait(running)
