"""Rules over NATS, for a thread that has no event loop."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from ..messaging.connection import connected
from ..settings import BrokerSettings
from .region import RegionClient, RegionRules
from .transports import PAUSE_SECONDS

#: For leaving in good order; while no broker answers there is none.
STOP_SECONDS = 2.0


class NatsTransport:
    """Follows RULES on an event loop of its own, and reports what is applied."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._may_go_on = threading.Event()

    def follow(self, rules: RegionRules, ready: Callable[[], None]) -> None:
        asyncio.run(self._follow(rules, ready))

    def stop(self) -> None:
        self._stopped.set()
        if self._stop:
            self._soon(self._stop.set)

    def pause(self) -> None:
        stands = threading.Event()
        self._may_go_on = threading.Event()
        if self._soon(partial(self._stand_still, stands, self._may_go_on)):
            stands.wait(PAUSE_SECONDS)

    def resume(self) -> None:
        self._may_go_on.set()

    def _soon(self, call: Callable[[], None]) -> bool:
        """Have the event loop call something; say whether there is one that still runs."""
        try:
            if self._loop:
                self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # it was closed since
            return False
        return self._loop is not None

    @staticmethod
    def _stand_still(stands: threading.Event, may_go_on: threading.Event) -> None:
        """Hold up the event loop between two callbacks: no library is in the midst of anything there."""
        stands.set()
        may_go_on.wait(PAUSE_SECONDS)

    async def _follow(self, rules: RegionRules, ready: Callable[[], None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        following = asyncio.create_task(self._serve(rules, ready, self._stop))
        stopping = asyncio.create_task(self._stop.wait())
        if self._stopped.is_set():
            self._stop.set()
        await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if following.done():
            following.result()
        elif not await self._ended(following):
            following.cancel()

    async def _serve(self, rules: RegionRules, ready: Callable[[], None], stop: asyncio.Event) -> None:
        async with (
            connected(self._settings, "client") as connection,
            RegionClient(connection, rules) as client,
        ):
            await client.caught_up()
            ready()
            await stop.wait()

    async def _ended(self, following: "asyncio.Task[None]") -> bool:
        done, _ = await asyncio.wait({following}, timeout=STOP_SECONDS)
        return bool(done)
