"""Raw connections of clients that do not behave."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

BOUND_SECONDS = 20.0


class RawConnection:
    """A connection on which a test sends and reads bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def rest(self) -> bytes:
        """Return everything until the server closes the connection."""
        data = b""
        async with asyncio.timeout(BOUND_SECONDS):
            try:
                while part := await self.reader.read(65_536):
                    data += part
            except ConnectionError:
                pass
        return data

    async def until(self, text: bytes) -> bytes:
        async with asyncio.timeout(BOUND_SECONDS):
            return await self.reader.readuntil(text)

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected_from(url: str, address: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """Connect to a server from an address of this host until the block ends."""
    port = urlsplit(url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()


async def silent_connections(url: str, address: str, count: int) -> list[socket.socket]:
    """Open connections that send nothing; the caller closes them."""
    loop, port = asyncio.get_running_loop(), urlsplit(url).port
    opened = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.bind((address, 0))
        await loop.sock_connect(client, ("127.0.0.1", port))
        opened.append(client)
    return opened


async def status_from(url: str, path: str, address: str) -> int:
    """Return the status of a GET request from an address of this host."""
    async with connected_from(url, address) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return int((await client.until(b"\r\n")).split()[1])
