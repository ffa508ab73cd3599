"""End tasks reliably, although a library may swallow a cancellation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CANCEL_AGAIN_SECONDS = 0.5


async def cancel_and_wait(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and return once all have ended; their results and errors are ignored.

    They are cancelled again while they run: a library may swallow a cancellation (`asyncio.wait_for`
    does so before Python 3.12, if the result arrives at the same moment). They have ended in any case,
    also if the caller is cancelled meanwhile.
    """
    interruption: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
        except asyncio.CancelledError as error:
            interruption = error
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if interruption:
        raise interruption


def error_of(task: "asyncio.Task[Any]") -> BaseException | None:
    """Return why a task failed: a cancellation that nobody asked it for is an error, too."""
    if not task.cancelled():
        return task.exception()
    return None if task.cancelling() else RuntimeError("what was due was not handled: it cancelled itself")


async def run_together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all of `work` until it ends, one of it fails, or the caller is cancelled; all has ended then.

    `asyncio.TaskGroup` cancels its tasks once, and waits for ever for one that swallows that.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await cancel_and_wait(*tasks)


async def run_within(seconds: float | None, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`; raise `TimeoutError` if it takes longer than `seconds`.

    The work has ended in any case, also if the caller is cancelled and if it swallows cancellations.
    """
    task = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TimeoutError
        return task.result()
    finally:
        await cancel_and_wait(task)


async def all_done(*work: Awaitable[Any]) -> None:
    """Return once all of `work` has ended, also if a part of it fails; then raise its first error."""
    if len(work) == 1:  # without a task of its own
        await work[0]
        return
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def with_pauses(items: Iterable[Item], every: int) -> AsyncIterator[Item]:
    """Yield each item; the loop has a turn before the first one and after each `every` items."""
    for number, item in enumerate(items):
        if number % every == 0:
            await asyncio.sleep(0)
        yield item
