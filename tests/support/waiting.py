"""Wait for a condition with a bound, never for a duration."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

BOUND_SECONDS = 15.0
LOOK_EVERY_SECONDS = 0.01


@overload
async def eventually(
    look: Callable[[], Awaitable[T | None]], what: str, bound: float = BOUND_SECONDS
) -> T: ...


@overload
async def eventually(look: Callable[[], T | None], what: str, bound: float = BOUND_SECONDS) -> T: ...


async def eventually(look: Callable[[], Any], what: str, bound: float = BOUND_SECONDS) -> Any:
    """Return the first true answer of `look`; fails with `what` and the last answer after `bound` seconds."""
    deadline = time.monotonic() + bound
    while True:
        answer = look()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {bound:g} s in vain until {what}; last answer: {answer!r}")
        await asyncio.sleep(LOOK_EVERY_SECONDS)
