"""Work that ends although a library swallows cancellations."""

import asyncio
import contextlib
import inspect

import pytest

from sluiceway.tasks import all_done, cancel_and_wait, run_together, run_within, with_pauses


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


async def test_a_task_ends_although_its_caller_is_cancelled_as_well() -> None:
    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    ending = asyncio.create_task(cancel_and_wait(task))
    await asyncio.sleep(0)

    ending.cancel()

    with pytest.raises(asyncio.CancelledError):
        await ending
    assert task.done()


async def test_work_that_runs_together_ends_also_where_it_swallows_a_cancellation() -> None:
    """As a publisher that looks for removals while the number of streams changes."""
    work = [stubborn() for _ in range(3)]
    task = asyncio.create_task(run_together(work[0], run_together(*work[1:])))
    for _ in range(3):
        await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await cancel_and_wait(task)

    assert task.cancelled()
    assert {inspect.getcoroutinestate(each) for each in work} == {inspect.CORO_CLOSED}


async def test_the_first_error_ends_what_runs_together() -> None:
    async def wrong() -> None:
        raise ValueError("wrong")

    work = stubborn()

    async with asyncio.timeout(60):
        with pytest.raises(ValueError, match="wrong"):
            await run_together(work, asyncio.sleep(0), wrong())

    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


async def test_a_long_list_gives_the_loop_its_turns() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    seen = [item async for item in with_pauses(range(100), 10)]
    task.cancel()

    assert seen == list(range(100))
    assert turns >= 9


async def test_all_work_ends_before_the_first_error_is_raised() -> None:
    ended = []

    async def work(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)
        ended.append(number)
        if number != 2:
            raise ValueError(number)

    with pytest.raises(ValueError, match="3"):
        await all_done(work(3), work(1), work(2))

    assert ended == [1, 2, 3]
