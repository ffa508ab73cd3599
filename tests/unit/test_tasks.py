"""Cancellations that a library below has swallowed."""

import asyncio
import contextlib

import pytest

from sluiceway.tasks import cancel_and_wait, reraised_cancellation


async def test_a_swallowed_cancellation_is_raised_after_the_block() -> None:
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        async with reraised_cancellation():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert swallowed.is_set()


async def test_a_block_without_a_cancellation_ends_as_usual() -> None:
    async with asyncio.timeout(5), reraised_cancellation():
        await asyncio.sleep(0)


async def test_a_task_that_swallows_a_cancellation_still_ends() -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    await cancel_and_wait(task)

    assert task.cancelled()
