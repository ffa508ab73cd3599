"""One connection to NATS, and those who want to know that it came back."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from ..errors import Unavailable
from ..settings import BrokerSettings
from ..tasks import cancel_and_wait, reraised_cancellation

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 2
#: For a first connection, where somebody waits for an error.
IMPATIENT_SECONDS = 2.0
#: A frozen server is noticed after two of these.
PING_INTERVAL_SECONDS = 2
RECONNECT_WAIT_SECONDS = 0.1
#: For one answer of JetStream.
REQUEST_TIMEOUT_SECONDS = 2.0


class Connection:
    """A NATS client, its JetStream, and the listeners of its reconnects."""

    def __init__(self, client: Client, principal: str | None = None) -> None:
        self.client = client
        #: For whom the broker's permissions vouch.
        self.principal = principal
        self.js: JetStreamContext = client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
        self._listeners: set[Callable[[], None]] = set()

    def on_reconnect(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every reconnect; returns what ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def is_alive(self) -> bool:
        """Say whether the broker answers now, not merely whether the socket is open."""
        try:
            await self.client.flush(timeout=1)
        except Exception as error:  # whatever it is, it is no answer; the caller reports it
            log.debug("the broker does not answer: %s", error)
            return False
        return self.client.is_connected

    def notify_reconnected(self) -> None:
        for listener in tuple(self._listeners):
            listener()


@asynccontextmanager
async def connected(
    settings: BrokerSettings, name: str, *, patient: bool = True, **options: Any
) -> AsyncIterator[Connection]:
    """Connect as `name`, and drain at the end.

    A patient connection waits for its broker for ever, at the start and later; an impatient one
    raises `Unavailable` where none answers soon.
    """
    client = Client()
    connection = Connection(client, settings.principal)

    async def reconnected() -> None:
        log.info("the connection to the broker came back")
        connection.notify_reconnected()

    options = {**connect_options(settings, name), "reconnected_cb": reconnected, **options}
    try:
        async with asyncio.timeout(None if patient else IMPATIENT_SECONDS), reraised_cancellation():
            await client.connect(**options)
    except asyncio.CancelledError:
        # It may hold a socket already.
        await _close(client)
        raise
    except (OSError, TimeoutError, NatsError) as error:
        why = client.last_error or error
        raise Unavailable(
            f"no NATS broker answers at {settings.nats_url} ({str(why) or type(why).__name__}); "
            "start one with `make up`, or name another with --nats-url or SLUICEWAY_NATS_URL"
        ) from error
    try:
        yield connection
    finally:
        await _close(client)


async def _close(client: Client) -> None:
    """Close a client for good, also one that is about to reconnect.

    Its reconnection may miss that it is cancelled (asyncio.wait_for in Python 3.11), and would then
    open a connection after all, which nobody closes any more.
    """
    await client.close()
    reconnecting = client._reconnection_task
    if reconnecting and not reconnecting.done():
        await cancel_and_wait(reconnecting)
    if client._transport:
        client._transport.close()  # type: ignore[no-untyped-call]


def connect_options(settings: BrokerSettings, name: str) -> dict[str, Any]:
    """Return what `nats.connect` takes, also through FastStream's broker."""

    async def failed(error: Exception) -> None:
        log.warning("broker: %s", error or type(error).__name__)

    options: dict[str, Any] = {
        "servers": settings.nats_url.split(","),
        "name": name,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "ping_interval": PING_INTERVAL_SECONDS,
        "reconnect_time_wait": RECONNECT_WAIT_SECONDS,
        "max_reconnect_attempts": -1,
        "error_cb": failed,
    }
    if settings.principal:
        # Where the broker lets each of its users listen: nobody hears what others are answered.
        options["inbox_prefix"] = f"_INBOX.{settings.principal}"
    if settings.nats_creds:
        options["user_credentials"] = str(settings.nats_creds)
    if settings.nats_ca:
        options["tls"] = ssl.create_default_context(cafile=str(settings.nats_ca))
    return options
