"""The link between two brokers, through this process: it can be slow, cut, or swallow what is sent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.local.broker import HOST
from sluiceway.tasks import cancel_and_wait

CHUNK_BYTES = 65_536


class Link:
    """Forwards TCP connections to a port of this host."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._connections: set[asyncio.StreamWriter] = set()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._refuses = False
        #: For each direction, before a part of what is sent goes on.
        self.delay_seconds = 0.0
        self.port = 0

    def cut(self) -> None:
        """Close all connections, and accept none until `restore`."""
        self._refuses = True
        for writer in self._connections:
            writer.close()

    def swallow(self) -> None:
        """Keep the connections, on which nothing arrives until `restore`."""
        self._is_open.clear()

    def restore(self) -> None:
        """Forward again."""
        self._refuses = False
        self._is_open.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward a connection in both directions until one side ends it."""
        if self._refuses:
            writer.close()
            return
        there, back = await asyncio.open_connection(HOST, self._target)
        self._connections |= {writer, back}
        await asyncio.gather(self._forward(reader, back), self._forward(there, writer))
        self._connections -= {writer, back}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await asyncio.sleep(self.delay_seconds)
                await self._is_open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def linked(target: int) -> AsyncIterator[Link]:
    """Run a link to a port of this host until the block ends."""
    link = Link(target)
    running: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(link.accept(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(accept, HOST, 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        link.cut()
        for task in tuple(running):
            await cancel_and_wait(task)
        await server.wait_closed()
