"""Work that takes long goes on at places of its own, so that what is due after it finds the others free."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from sluiceway.tasks import cancel_and_wait, error_of

#: After this time, work no longer holds the place at which it was begun. Reading what regions hold takes
#: milliseconds, or seconds if something does not answer.
SLOW_SECONDS = 1.0


class HeldPlaces:
    """The places that a piece of work holds, and what it waits for."""

    def __init__(self, count: int, awaited: Hashable) -> None:
        self.count = count
        self.awaited: Hashable = awaited

    def keep(self, count: int) -> None:
        """Hold only so many of them from now on; what was waited for has answered."""
        self.count, self.awaited = count, None

    def give_back(self) -> None:
        """Hold one less."""
        self.count -= 1


Work = Callable[[HeldPlaces], Coroutine[Any, Any, None]]


class SlowWork:
    """Counts the work that takes long, and what it waits for; `run` must run meanwhile."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._held: dict[asyncio.Task[None], HeldPlaces] = {}
        #: What has not taken long yet.
        self._begun: dict[asyncio.Task[None], HeldPlaces] = {}
        self._error: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Return how many places are taken."""
        return sum(held.count for held in self._held.values())

    def is_crowded(self, awaited: Hashable, count: int) -> bool:
        """Return whether other work that waits for the same takes long, and too few places are left.

        A place is left for work that has just begun, and will take as long.
        """
        slow = self._slow()
        if awaited not in slow:
            return False
        will_be_slow = sum(held.count for held in self._begun.values() if held.awaited in slow)
        return len(self) + will_be_slow + count > self._places

    def _slow(self) -> set[Hashable]:
        """Return what work waits for that takes long."""
        return {held.awaited for held in self._held.values()} - {None}

    async def run(self) -> None:
        """Wait until cancelled; raise what slow work has raised. All of it has ended then."""
        self._error = asyncio.get_running_loop().create_future()
        try:
            await self._error
        finally:
            await cancel_and_wait(*self._held)

    async def do(self, work: Work, count: int, awaited: Hashable) -> None:
        """Do work, and return once it has ended, or goes on at places of its own, if there are enough.

        So it does from the beginning if other work that waits for the same takes long.
        """
        held = HeldPlaces(count, awaited)
        task = asyncio.create_task(work(held))
        if awaited in self._slow() and self._set_aside(task, held):
            return
        self._begun[task] = held
        try:
            await self._until_done(task, SLOW_SECONDS)
            if not (task.done() or self._set_aside(task, held)):
                await self._until_done(task, None)
        finally:
            del self._begun[task]
        if task.done():
            task.result()

    async def _until_done(self, task: asyncio.Task[None], seconds: float | None) -> None:
        try:
            await asyncio.wait([task], timeout=seconds)
        except asyncio.CancelledError:
            await cancel_and_wait(task)
            raise

    def _set_aside(self, task: asyncio.Task[None], held: HeldPlaces) -> bool:
        if len(self) + held.count > self._places:
            return False
        self._held[task] = held
        task.add_done_callback(self._release)
        return True

    def _release(self, task: asyncio.Task[None]) -> None:
        del self._held[task]
        if (error := error_of(task)) and self._error and not self._error.done():
            self._error.set_exception(error)
