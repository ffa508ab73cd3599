"""Bounds the connections of the gRPC port, in total and of one address, for which the library has no bound.

Clients connect to the relay, which passes their bytes on to the server's Unix socket, and back.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sluiceway.http.connections import Connections, Stage

#: Bytes that are kept of a client, or for a client, before the other side has to wait.
BUFFER_BYTES = 64 * 1024
#: How long a new connection may send nothing.
FIRST_BYTES_SECONDS = 5.0
#: A client whose buffer stays full for so long does not read, and is disconnected.
UNREAD_SECONDS = 20.0
#: Connections that the system accepts before the relay looks at them.
BACKLOG = 256
#: What HTTP/2 begins with; other connections are closed.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class _Relayed:
    """The connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        peer = writer.get_extra_info("peername")
        self.address: str = peer[0] if peer else ""

    def evict(self) -> None:
        """Close it immediately."""
        self.writer.transport.abort()


@asynccontextmanager
async def relaying(listener: socket.socket, target: Path, connections: Connections) -> AsyncIterator[None]:
    """Relay connections to the Unix socket `target` while the block runs."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    relay = _Relay(target, connections)
    server = await asyncio.start_server(relay.serve, sock=listener, limit=BUFFER_BYTES, backlog=BACKLOG)
    try:
        yield
    finally:
        server.close()
        await relay.close()


class _Relay:
    def __init__(self, target: Path, connections: Connections) -> None:
        self._target = target
        self._connections = connections
        self._serving: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all connections."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a new connection in, if there is room for it."""
        client = _Relayed(reader, writer)
        if self._connections.admit(client, client.address) is not None:
            self._connections.discard(client)
            client.evict()
            return
        task = asyncio.create_task(self._relay(client))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _relay(self, client: _Relayed) -> None:
        try:
            async with asyncio.timeout(FIRST_BYTES_SECONDS):
                first = await client.reader.read(BUFFER_BYTES)
            if first and PREFACE.startswith(first[: len(PREFACE)]):
                self._connections.move(client, Stage.BUSY)
                await self._connect(client, first)
                client.writer.close()
                async with asyncio.timeout(UNREAD_SECONDS):
                    await client.writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # one side is gone, or silent: the other one is told by the end of its connection
        finally:
            self._connections.discard(client)
            client.evict()

    async def _connect(self, client: _Relayed, first: bytes) -> None:
        reader, writer = await asyncio.open_unix_connection(self._target, limit=BUFFER_BYTES)
        try:
            writer.write(first)
            async with asyncio.TaskGroup() as group:
                passing = {
                    group.create_task(_pass_on(client.reader, writer)),
                    group.create_task(_pass_on(reader, client.writer)),
                }
                _, rest = await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                for task in rest:
                    task.cancel()
        except* (OSError, TimeoutError):
            pass
        finally:
            writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(BUFFER_BYTES):
        writer.write(data)
        async with asyncio.timeout(UNREAD_SECONDS):
            await writer.drain()
