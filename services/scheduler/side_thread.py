"""One thread beside the event loop, for what takes long: everybody else is answered meanwhile.

It is one, since each thread more would take a share of the loop's time: Python runs one at a time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

#: Python's default of 5 ms is what the loop would wait after each of its own waits, some twenty times for an
#: abort, while the thread is at work.
SWITCH_SECONDS = 0.000_5

P = ParamSpec("P")
R = TypeVar("R")


class SideThread:
    """Calls pure functions on frozen values, in the order in which they are handed to it.

    How many wait is bounded by the commands in work.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="side")

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `function` returns."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(function, *args, **kwargs))

    def close(self) -> None:
        """Call nothing that waits; what is being called ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)
