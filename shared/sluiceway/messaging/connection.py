"""One connection to NATS, and the listeners of its reconnects."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from ..errors import Misconfigured, Unavailable, error_text
from ..repeated_logs import RepeatedLogs
from ..settings import BrokerSettings
from ..tasks import cancel_and_wait, run_within
from .anonymous_brokers import AnonymousBrokerRefused
from .credentials import credential_options
from .message_size import SizeCheckedClient
from .reply_inbox import ReplyInbox
from .tls import new_client, read_ssl_context, wait_closed
from .write_health import WriteHealth

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 2
#: For the first connection, if somebody waits for the error.
FIRST_CONNECTION_SECONDS = 2.0
#: A frozen broker is noticed after two of these.
PING_INTERVAL_SECONDS = 2
RECONNECT_WAIT_SECONDS = 0.1
#: Connections that were given up are looked for this often.
WATCH_EVERY_SECONDS = 1.0
#: For one reply of JetStream.
REQUEST_TIMEOUT_SECONDS = 2.0


class Connection:
    """A NATS client, its JetStream, and the listeners of its reconnects."""

    def __init__(self, client: SizeCheckedClient, principal: str | None = None) -> None:
        self.client = client
        self.replies = ReplyInbox(client)
        #: The sender whom the broker's permissions vouch for.
        self.principal = principal
        self.js: JetStreamContext = client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
        self.writes = WriteHealth(client, self.js)
        self._listeners: set[Callable[[], None]] = {self.writes.forget}

    def on_reconnect(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every reconnect; return a function that removes it."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def is_alive(self) -> bool:
        """Return whether the broker answers now."""
        return await answers_now(self.client)

    def notify_reconnected(self) -> None:
        """Call all listeners."""
        for listener in tuple(self._listeners):
            listener()


async def answers_now(client: Client) -> bool:
    """Return whether the broker answers a client; an open socket is not enough."""
    try:
        await client.flush(timeout=1)
    except Exception as error:  # any error means no answer; the caller reports it
        log.debug("the broker does not answer: %s", error)
        return False
    return client.is_connected


def is_given_up(client: Client) -> bool:
    """Return whether a client is without a connection and will not try to get one again.

    FastStream ends the task that reconnects with an error if the password is wrong; then nats-py does not
    even say that it is closed.
    """
    reconnecting = client._reconnection_task
    return client.is_closed or (not client.is_connected and reconnecting is not None and reconnecting.done())


async def until_given_up(client: Client) -> str:
    """Return why, once a client is without a connection and will not try to get one again."""
    while not is_given_up(client):  # noqa: ASYNC110 (nats-py does not tell in each case)
        await asyncio.sleep(WATCH_EVERY_SECONDS)
    return error_text(client.last_error) if client.last_error else "closed"


@asynccontextmanager
async def connected(
    settings: BrokerSettings, name: str, *, wait_for_broker: bool = True, **options: Any
) -> AsyncIterator[Connection]:
    """Connect as `name` while the block runs; reconnect forever.

    Without `wait_for_broker`, raise `Unavailable` if the first connection takes more than two seconds.
    `Misconfigured` if the credentials or certificates are invalid; without `wait_for_broker` also
    if the broker is refused because it lets anybody connect.
    """
    options = {**connect_options(settings, name), **security_options(settings), **options}
    client = new_client(settings)
    connection = Connection(client, settings.principal)

    async def reconnected() -> None:
        log.info("reconnected to the broker")
        connection.notify_reconnected()

    options = {"reconnected_cb": reconnected, **options}
    try:
        timeout = None if wait_for_broker else FIRST_CONNECTION_SECONDS
        await run_within(timeout, client.connect(**options))
    except asyncio.CancelledError:
        # It may have opened a socket already.
        await _close(client)
        raise
    except (OSError, TimeoutError, NatsError) as error:
        await _close(client)
        if isinstance(client.last_error, AnonymousBrokerRefused):
            raise Misconfigured(str(client.last_error)) from None
        reason = error_text(client.last_error or error)
        raise Unavailable(
            f"no NATS broker answers at {settings.nats_url} ({reason}); "
            "start one with `make up`, or set another with --nats-url or SLUICEWAY_NATS_URL"
        ) from error
    try:
        yield connection
    finally:
        await _close(client)


async def _close(client: Client) -> None:
    """Close a client, also one that is about to reconnect.

    Its reconnection may miss a cancellation (asyncio.wait_for in Python 3.11) and then open a
    connection that nobody closes.
    """
    with suppress(ConnectionError):  # there is nothing to flush if the connection is lost
        await client.close()
    reconnecting = client._reconnection_task
    if reconnecting and not reconnecting.done():
        await cancel_and_wait(reconnecting)
    if client._transport:
        client._transport.close()  # type: ignore[no-untyped-call]
        await wait_closed(client._transport)


def connect_options(settings: BrokerSettings, name: str) -> dict[str, Any]:
    """Return the options of `nats.connect`, without those of `security_options`."""

    repeated = RepeatedLogs(log)

    async def failed(error: Exception) -> None:
        repeated.warning(error_text(error), "broker: %s", error_text(error))

    options: dict[str, Any] = {
        "servers": list(settings.nats_url.urls),
        "name": name,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "ping_interval": PING_INTERVAL_SECONDS,
        "reconnect_time_wait": RECONNECT_WAIT_SECONDS,
        "max_reconnect_attempts": -1,
        "error_cb": failed,
    }
    if settings.principal:
        # The only inbox that the broker's permissions give this user: nobody reads the replies of others.
        options["inbox_prefix"] = f"_INBOX.{settings.principal}"
    return options


def security_options(settings: BrokerSettings) -> dict[str, Any]:
    """Return the options of `nats.connect` on credentials and TLS; `Misconfigured` if a file is invalid."""
    if settings.requires_tls:
        read_ssl_context(settings)
    return {**credential_options(settings), "tls_handshake_first": settings.nats_tls_first}
