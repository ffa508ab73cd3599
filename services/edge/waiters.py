"""Those who wait for a change, woken some at a time."""

import asyncio
from collections import deque

#: Woken before others are answered: they all have something to send.
WOKEN_AT_ONCE = 25


class Waiters:
    """Tasks that wait, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}
        #: Those who are to be woken next, of the tasks that wait or were cancelled meanwhile.
        self._due: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self) -> None:
        """Return once `wake_all` was called."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            await future
        finally:
            self._waiting.pop(future, None)

    def wake_all(self) -> None:
        """Wake everybody who waits now."""
        is_waking = bool(self._due)
        self._due += self._waiting
        self._waiting.clear()
        if not is_waking:
            self._wake_some()

    def _wake_some(self) -> None:
        for _ in range(min(WOKEN_AT_ONCE, len(self._due))):
            future = self._due.popleft()
            if not future.done():
                future.set_result(None)
        if self._due:
            asyncio.get_running_loop().call_soon(self._wake_some)
