"""Cancellations that a library below has swallowed."""

import asyncio
import contextlib

import pytest

from sluiceway.tasks import cancel_and_wait, reraised_cancellation


async def test_a_cancellation_that_was_swallowed_is_raised_behind_the_block() -> None:
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


async def test_a_block_that_nobody_cancelled_is_left_as_always() -> None:
    async with asyncio.timeout(5), reraised_cancellation():
        await asyncio.sleep(0)


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    await cancel_and_wait(task)

    assert task.cancelled()
