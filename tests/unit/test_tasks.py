"""Work that ends although a library swallows cancellations."""

import asyncio
import contextlib
import inspect

import pytest

from sluiceway.tasks import cancel_and_wait, run_within


async def stubborn() -> None:
    """Swallow the first cancellation, as nats-py does while a broker refuses its password."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


async def test_work_that_swallows_a_cancellation_is_ended_after_its_time() -> None:
    work = stubborn()

    async with asyncio.timeout(60):
        with pytest.raises(TimeoutError):
            await run_within(0.01, work)

    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


async def test_work_that_swallows_a_cancellation_ends_with_its_caller() -> None:
    work = stubborn()
    task = asyncio.create_task(run_within(None, work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


async def test_work_returns_its_result_or_raises_its_error_in_time() -> None:
    async def wrong() -> None:
        raise ValueError("wrong")

    assert await run_within(60, asyncio.sleep(0, "result")) == "result"
    with pytest.raises(ValueError, match="wrong"):
        await run_within(60, wrong())


async def test_a_task_that_swallows_a_cancellation_still_ends() -> None:
    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    await cancel_and_wait(task)

    assert task.cancelled()
