"""Cancel tasks reliably, although a library may swallow a cancellation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

CANCEL_AGAIN_SECONDS = 0.5


async def cancel_and_wait(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and return once it has ended; its result or error is ignored.

    It is cancelled again while it runs: a library may swallow a cancellation (`asyncio.wait_for`
    does so before Python 3.12, if the result arrives at the same moment).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()


@asynccontextmanager
async def reraised_cancellation() -> AsyncIterator[None]:
    """Raise `CancelledError` after a block that has swallowed one."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
