"""Rules over NATS, on an event loop in a thread of its own."""

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable
from functools import partial

from ..messaging.connection import connected, until_given_up
from ..settings import BrokerSettings
from ..tasks import cancel_and_wait
from .region_client import RegionClient
from .region_rules import RegionRules
from .transport import PAUSE_SECONDS

log = logging.getLogger(__name__)

#: For closing the connection; while no broker answers, that is not possible.
STOP_SECONDS = 2.0


class NatsTransport:
    """Runs a `RegionClient`: follows RULES and reports what is applied."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._resumed = threading.Event()

    def follow(self, rules: RegionRules, ready: Callable[[], None]) -> None:
        asyncio.run(self._follow(rules, ready))

    def stop(self) -> None:
        self._stopped.set()
        if self._stop:
            self._call_soon(self._stop.set)

    def pause(self) -> None:
        paused = threading.Event()
        self._resumed = threading.Event()
        if self._call_soon(partial(self._block, paused, self._resumed)):
            paused.wait(PAUSE_SECONDS)

    def resume(self) -> None:
        self._resumed.set()

    def _call_soon(self, call: Callable[[], None]) -> bool:
        """Have the event loop call something; return whether a loop still runs."""
        try:
            if self._loop:
                self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop has been closed
            return False
        return self._loop is not None

    @staticmethod
    def _block(paused: threading.Event, resumed: threading.Event) -> None:
        """Block the event loop between two callbacks, where no library holds a lock."""
        paused.set()
        resumed.wait(PAUSE_SECONDS)

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
        """Follow the rules; if a connection is given up for good, go on with a new one."""
        instance = uuid.uuid4().hex[:12]  # a new one after a fork
        while not stop.is_set():
            async with (
                connected(self._settings, "client") as connection,
                RegionClient(connection, rules, instance=instance) as client,
            ):
                serving = asyncio.create_task(self._until_stopped(client, ready, stop))
                watching = asyncio.create_task(until_given_up(connection.client))
                try:
                    await asyncio.wait({serving, watching}, return_when=asyncio.FIRST_COMPLETED)
                    if serving.done():
                        return serving.result()
                    log.warning("the broker closed the connection (%s); opening another", watching.result())
                finally:
                    await cancel_and_wait(serving)
                    await cancel_and_wait(watching)

    @staticmethod
    async def _until_stopped(client: RegionClient, ready: Callable[[], None], stop: asyncio.Event) -> None:
        await client.caught_up()
        ready()
        await stop.wait()

    async def _ended(self, following: "asyncio.Task[None]") -> bool:
        done, _ = await asyncio.wait({following}, timeout=STOP_SECONDS)
        return bool(done)
