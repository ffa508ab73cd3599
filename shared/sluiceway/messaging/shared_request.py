"""One request for all who need its answer at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SharedRequest(Generic[Answer]):
    """Sends one request for all callers of the same pass of the loop.

    No caller receives the answer to a request that was sent before its call: it may be out of date.
    """

    def __init__(self, send: Callable[[], Awaitable[Answer]]) -> None:
        self._send = send
        #: Sent in the next pass of the loop; callers that ask before that wait for it as well.
        self._unsent: asyncio.Task[Answer] | None = None
        self._sent: set[asyncio.Task[Answer]] = set()

    async def answer(self) -> Answer:
        """Return the answer to a request that is sent from now on; raise what `send` raises."""
        if self._unsent is None:
            self._unsent = asyncio.create_task(self._run())
            self._sent.add(self._unsent)
            self._unsent.add_done_callback(self._sent.discard)
        return await asyncio.shield(self._unsent)  # one caller that gives up takes no answer from the others

    async def _run(self) -> Answer:
        self._unsent = None
        return await self._send()
