"""What looks like a NATS server, and records what it is sent."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from .certificates import LOOPBACK

GREETING: Mapping[str, Any] = {
    "server_id": "fake",
    "version": "2.15.0",
    "proto": 1,
    "headers": True,
    "max_payload": 1_048_576,
    "auth_required": True,
    "nonce": "bm9uY2U",
}


@dataclass
class Listener:
    """A fake server; `received` is what all its clients have sent, without the handshakes of TLS."""

    port: int = 0
    received: bytes = b""
    connections: int = 0
    open_connections: int = 0
    #: Closes each connection once it was greeted and has answered.
    hangs_up: bool = False

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"


@asynccontextmanager
async def listening(
    port: int = 0, *, tls: ssl.SSLContext | None = None, hangs_up: bool = False, **greeting: Any
) -> AsyncIterator[Listener]:
    """Serve a greeting like that of a NATS server while the block runs; with `tls`, that begins then."""
    listener = Listener(hangs_up=hangs_up)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.connections += 1
        listener.open_connections += 1
        try:
            info = {**GREETING, "tls_required": tls is not None, **greeting}
            writer.write(f"INFO {json.dumps(info)}\r\n".encode())
            await writer.drain()
            if tls:
                await writer.start_tls(tls)
            await _converse(listener, reader, writer)
        except OSError:
            pass  # the client has refused the certificate, or gone
        finally:
            listener.open_connections -= 1
            writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, port)
    listener.port = server.sockets[0].getsockname()[1]
    async with server:
        yield listener


async def _converse(listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.readline():
        listener.received += data
        if data.startswith(b"PING"):
            writer.write(b"PONG\r\n")
            await writer.drain()
            if listener.hangs_up:
                return
