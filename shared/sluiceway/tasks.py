"""End a task for certain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

ASK_AGAIN_SECONDS = 0.5


async def cancel_and_wait(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and return once it has ended; its result or error is not looked at.

    Asks again while it goes on: a library below may swallow a cancellation (`asyncio.wait_for`
    does so before Python 3.12, where it coincides with the answer).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=ASK_AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()


@asynccontextmanager
async def reraised_cancellation() -> AsyncIterator[None]:
    """Raise `CancelledError` behind a block that has swallowed one, as a library below may."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
