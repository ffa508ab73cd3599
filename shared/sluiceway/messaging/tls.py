"""TLS for connections to NATS. If the settings ask for it, nothing is written to a socket without it.

nats-py begins TLS only if the server's greeting says so, and that greeting is not protected: a server without
TLS, or somebody in between who changes the greeting, would get the user and password in clear.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from nats.aio.client import Srv
from nats.aio.transport import TcpTransport, WebSocketTransport

from ..errors import Misconfigured
from ..settings import BrokerSettings
from ..tasks import cancel_and_wait
from .anonymous_brokers import IdentityCheckedClient

#: For closing a socket before the next one is opened.
CLOSED_WITHIN_SECONDS = 0.5


def new_client(settings: BrokerSettings) -> IdentityCheckedClient:
    """Return a client without a connection; with TLS settings, one that never sends anything in clear."""
    return TlsClient(settings) if settings.requires_tls else IdentityCheckedClient(settings)


def read_ssl_context(settings: BrokerSettings) -> ssl.SSLContext:
    """Return what the files of the settings say; names of hosts are verified. `Misconfigured` if invalid."""
    try:
        context = ssl.create_default_context(cafile=settings.nats_ca)
    except OSError as error:  # SSLError, too
        raise Misconfigured(_invalid("NATS_CA", str(settings.nats_ca), error)) from None
    if settings.nats_cert:
        _check_readable("NATS_CERT", settings.nats_cert)
        if settings.nats_key:
            _check_readable("NATS_KEY", settings.nats_key)
        files = " and ".join(map(str, filter(None, (settings.nats_cert, settings.nats_key))))
        try:
            # Without a password, a key that needs one would be asked for on the terminal.
            context.load_cert_chain(settings.nats_cert, settings.nats_key, password="")
        except OSError as error:
            raise Misconfigured(_invalid("NATS_CERT", files, error)) from None
    return context


def _check_readable(setting: str, file: Path) -> None:
    """Raise `Misconfigured` if a file cannot be read: OpenSSL does not say which of two it is."""
    try:
        file.read_bytes()
    except OSError as error:
        raise Misconfigured(_invalid(setting, str(file), error)) from None


def _invalid(setting: str, files: str, error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        reason = f"is not what it should be, in PEM and without a password ({error.reason or 'SSL error'})"
    else:
        reason = f"cannot be read: {error.strerror}"
    return f"invalid setting SLUICEWAY_{setting}: file {files} {reason}"


async def wait_closed(transport: Any) -> None:
    """Wait until a socket is closed, but not long: one whose handshake was given up never says so."""
    closing = asyncio.create_task(transport.wait_closed())
    await asyncio.wait({closing}, timeout=CLOSED_WITHIN_SECONDS)
    await cancel_and_wait(closing)


class PlaintextRefused(ConnectionError):
    """A server does not begin TLS, which the settings require."""


class TlsClient(IdentityCheckedClient):
    """A client that talks to every server of the cluster over TLS only, also to those it hears of later."""

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """The certificates, read again at each connection: they are renewed while a process runs.

        `ConnectionError` if a file is invalid, maybe half written: then nats-py retries.
        """
        try:
            return read_ssl_context(self._settings)
        except Misconfigured as error:
            raise ConnectionError(str(error)) from None

    async def _connect_to_server(self, s: Srv) -> None:
        if not self._transport:
            self._transport = TlsWebSocket() if s.uri.scheme == "wss" else TlsTransport()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)


class TlsTransport(TcpTransport):
    """A socket that carries nothing of ours before it is encrypted."""

    _address = ""

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        self.close()  # type: ignore[no-untyped-call] # nats-py forgets the socket of an attempt that failed
        self._address = f"{uri.hostname}:{uri.port}"
        await super().connect(uri, buffer_size, connect_timeout)

    async def connect_tls(self, *arguments: Any) -> None:
        await super().connect_tls(*arguments)
        # nats-py does not tell asyncio that this is TLS, and asyncio warns then whenever a server hangs up.
        writer: Any = self._io_writer
        if protocol := writer.transport.get_protocol():  # none if it has hung up already
            protocol._over_ssl = True

    def write(self, payload: bytes) -> None:
        self._check()
        super().write(payload)  # type: ignore[no-untyped-call]

    def writelines(self, payload: list[bytes]) -> None:
        self._check()
        super().writelines(payload)  # type: ignore[no-untyped-call]

    async def wait_closed(self) -> None:
        await wait_closed(super())

    def _check(self) -> None:
        if self._io_writer and self._io_writer.get_extra_info("ssl_object"):
            return
        self.close()  # type: ignore[no-untyped-call]
        raise PlaintextRefused(
            f"the server at {self._address} does not offer TLS, so nothing was sent to it; tls:// in "
            "SLUICEWAY_NATS_URL, SLUICEWAY_NATS_CA, _CERT or _TLS_FIRST requires it"
        )

    def __bool__(self) -> bool:
        """Return True, also before it is connected: otherwise nats-py replaces it."""
        return True


class TlsWebSocket(WebSocketTransport):
    """A WebSocket that is opened over TLS only."""

    async def connect(self, *_: Any) -> None:
        raise PlaintextRefused("a server offers NATS without TLS, so nothing was sent to it; use wss://")
