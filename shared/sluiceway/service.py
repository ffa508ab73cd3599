"""What every process does: connect, start, serve health pages, stop."""

import asyncio
import contextlib
import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Protocol, Self, TypeVar

from nats.aio.client import Client

from .clock import Clock, now_ms
from .errors import Misconfigured, Unavailable, error_text
from .http.server import AsgiApp, run_service
from .messaging.broker_clock import BrokerClock
from .messaging.connection import Connection, answers_now, connected, until_given_up
from .pipelines.message_limits import MESSAGE_BYTES_MAX, catalogue_document_bytes_max, state_bytes_max
from .repeated_logs import RepeatedLogs
from .settings import ServiceSettings, read_settings
from .tasks import cancel_and_wait
from .telemetry import metrics
from .telemetry.logging import set_up_logging

log = logging.getLogger(__name__)

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

EXIT_MISCONFIGURED = 2
EXIT_CRASHED = 70
#: In what the broker says of a subject that a user may not use.
PERMISSIONS = "permissions violation"
SILENT = "the broker does not answer"
STALE = "not current: catching up, or the broker sends nothing"


class FollowedView(Protocol):
    """What is read from one stream or several, kept current while the block runs."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *details: object) -> None: ...

    @property
    def is_current(self) -> bool:
        """Whether it has everything, as far as a broker that is still heard has said."""

    async def caught_up(self) -> None:
        """Return once everything that was stored at the start is read."""


class Service(ABC):
    """A process, as an async context manager: it runs while the block does."""

    name: ClassVar[str]
    #: What is served on the same port as the health pages.
    pages: AsgiApp | None = None

    def __init__(self, settings: ServiceSettings, host_clock: Clock = now_ms) -> None:
        """`host_clock`: the time of this host, which is compared with the broker's."""
        self.settings = settings
        self._host_clock = host_clock
        self._repeated = RepeatedLogs(log)
        self._clock: BrokerClock | None = None
        #: What the start waits for; empty once the service has started.
        self.missing: dict[str, str] = {"nats": "not connected yet"}
        self._connection: Connection | None = None
        #: Every connection of this process, the one of each FastStream broker too.
        self._clients: dict[str, Client] = {}
        self._views: dict[str, FollowedView] = {}
        self._stack = AsyncExitStack()

    @abstractmethod
    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Start everything, and register on `stack` how to stop it, in reverse order."""

    async def broker_clock(
        self, connection: Connection, stack: AsyncExitStack, *, decides: bool = True
    ) -> BrokerClock:
        """Return the broker's clock, once its time is known; it runs until `stack` is closed.

        A process that `decides` by it is not ready while the clock of its host differs too much.
        """
        self.missing = {"clock": "the broker's time is not known yet; is a scheduler running?"}
        clock = BrokerClock(connection, self._host_clock)
        await stack.enter_async_context(background_task(clock.run(), "clock"))
        await clock.measured()
        metrics.CLOCK_DIFFERENCE_SECONDS.set_function(lambda: clock.difference_ms / 1_000)
        if decides:
            self._clock = clock
        return clock

    async def follow(self, name: str, view: FollowedView, stack: AsyncExitStack) -> None:
        """Read a view to its end, and keep it current until `stack` is closed; readiness watches it."""
        await self.follow_all({name: view}, stack)

    async def follow_all(self, views: Mapping[str, FollowedView], stack: AsyncExitStack) -> None:
        """Read several views at the same time: the broker looks for what one holds while another is read."""
        for view in views.values():
            await stack.enter_async_context(view)
        for name, view in views.items():
            self.missing = {name: "not read to its end yet; is a scheduler running?"}
            await view.caught_up()
            self._views[name] = view

    async def watch_client(self, name: str, client: Client, stack: AsyncExitStack) -> None:
        """Watch a connection until `stack` is closed: readiness names it, and the process ends without it.

        A connection is given up after a wrong password, or a message larger than the broker allows.
        """
        self._clients[name] = client
        stack.callback(self._clients.pop, name)
        await stack.enter_async_context(background_task(_end_if_given_up(name, client), f"connection {name}"))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._connection = await stack.enter_async_context(
                connected(self.settings, self.name, error_cb=self._record_connection_error)
            )
            self._connection.on_reconnect(metrics.RECONNECTS.inc)
            self._connection.on_reconnect(self._warn_of_small_messages)
            self._warn_of_small_messages()
            await self.watch_client("nats", self._connection.client, stack)
            await self.start(self._connection, stack)
            self.missing = {}
            self._stack = stack.pop_all()
        log.info("%s has started", self.name)
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stack.aclose()
        log.info("%s has stopped", self.name)

    async def readiness(self) -> dict[str, str]:
        """Return what is not ready, and why; empty if the process is ready.

        Ready means able: every connection answers, every view is current, the clock is trusted, and the
        broker stores what is written.
        """
        if self.missing or self._connection is None:
            return self.missing
        names = tuple(self._clients)
        answers = await asyncio.gather(*(answers_now(self._clients[name]) for name in names))
        missing = {name: SILENT for name, answer in zip(names, answers, strict=True) if not answer}
        missing |= {name: STALE for name, view in self._views.items() if not view.is_current}
        if self._clock and (problem := self._clock.problem):
            missing["clock"] = problem
        if not missing and (problem := await self._connection.writes.problem(self.name)):
            missing["store"] = problem
        return missing

    def warnings(self) -> dict[str, str]:
        """Return what is wrong although the process is ready, and why; readiness says it as well."""
        return {}

    def _warn_of_small_messages(self) -> None:
        assert self._connection
        bytes_max = self._connection.client.max_payload
        if bytes_max < MESSAGE_BYTES_MAX:
            log.warning(
                "the broker takes messages of %s bytes (max_payload), not of %s: a feature may have %s "
                "bytes, a document of the catalogue %s; larger ones that are stored can only be taken back",
                bytes_max,
                MESSAGE_BYTES_MAX,
                state_bytes_max(bytes_max),
                catalogue_document_bytes_max(bytes_max),
            )

    async def _record_connection_error(self, error: Exception) -> None:
        self._repeated.warning(_kind(error_text(error)), "broker: %s", error_text(error))
        if self._connection is None:
            self.missing = {"nats": f"not connected yet: {error_text(error)}"}


def _kind(error: str) -> str:
    """Return for which errors of a connection one line in the log stands.

    What the broker does not allow is told by subject: those that differ in the last token, such as those of
    all regions, are one kind.
    """
    return error.rpartition(".")[0] if PERMISSIONS in error.lower() else error


def run(service: Callable[[SettingsT], Service], settings: type[SettingsT]) -> None:
    """Run a service, with the settings in the environment, until SIGTERM or SIGINT."""
    name = getattr(service, "name", "service")
    set_up_logging(name, form="json", level="INFO")
    try:
        read = read_settings(settings)
        set_up_logging(name, form=read.log_format, level=read.log_level)
        running = service(read)
        asyncio.run(run_service(read, running, running.readiness, running.pages, running.warnings))
    except Misconfigured as error:
        log.error("%s", error)
        sys.exit(EXIT_MISCONFIGURED)


async def _end_if_given_up(name: str, client: Client) -> None:
    reason = await until_given_up(client)
    raise Unavailable(f"the connection {name} to the broker was given up for good: {reason}")


@contextlib.asynccontextmanager
async def background_task(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run a coroutine while the block runs. It must not end: if it fails, the process exits.

    The supervisor restarts the process; half a service would be worse than none.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_exit_if_failed)
    try:
        yield
    finally:
        task.remove_done_callback(_exit_if_failed)
        await cancel_and_wait(task)


def _exit_if_failed(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        log.critical("the background task %s failed; exiting", task.get_name(), exc_info=task.exception())
        os._exit(EXIT_CRASHED)
