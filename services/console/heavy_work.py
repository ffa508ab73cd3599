"""Work that takes longer than a moment, beside the loop that answers everybody."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cachetools import LRUCache

from sluiceway.turns import Turns

T = TypeVar("T")

#: Threads. More would only compete for Python's lock with the loop.
THREADS_MAX = 4
#: Results that are remembered; each has up to some hundred kB.
RESULTS_MAX = 100


class HeavyWork:
    """Runs pure functions in threads: one at a time for each caller, so that nobody takes all threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="heavy-work")
        self._turns = Turns()
        self._results: LRUCache[Hashable, Any] = LRUCache(RESULTS_MAX)

    async def run(self, caller: str, function: Callable[[], T], key: Hashable = None) -> T:
        """Return the result of `function`; `Unavailable` if the caller's earlier work takes too long.

        `key` names everything that the result depends on: it is remembered. None: it is not.
        """
        if key is not None and key in self._results:
            found: T = self._results[key]
            return found
        async with self._turns.of(f"pages of {caller}"):
            result = await asyncio.get_running_loop().run_in_executor(self._threads, function)
        if key is not None:
            self._results[key] = result
        return result
