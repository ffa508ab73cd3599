"""Somebody who speaks the protocol of leaf nodes, and keeps no rule that a nats-server would keep."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from services.local.broker import HOST
from sluiceway.tasks import cancel_and_wait

BOUND_SECONDS = 20.0


class LeafMessage(NamedTuple):
    """A message that came over the link."""

    subject: str
    body: bytes


class RawLeaf:
    """A connection as a leaf node, and all that has come over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.messages: list[LeafMessage] = []
        #: Subjects that the hub wants to hear.
        self.wanted: set[str] = set()
        self.errors: list[str] = []
        self.is_closed = False
        self._reader = reader
        self._writer = writer
        self._pongs: list[asyncio.Event] = []

    def publish(self, subject: str, body: bytes = b"{}", reply: str = "") -> None:
        """Send a message, whatever the hub wants to hear."""
        words = " ".join(filter(None, ("LMSG", subject, reply, str(len(body)))))
        self._writer.write(words.encode() + b"\r\n" + body + b"\r\n")

    def subscribe(self, subject: str) -> None:
        """Tell the hub to send what is published on a subject."""
        self._writer.write(f"LS+ {subject}\r\n".encode())

    async def sign_in(self, user: str, password: str) -> None:
        """Connect as a user; the hub then says what it wants to hear."""
        options = {
            "user": user,
            "pass": password,
            "name": "sly",
            "server_id": "sly",
            "domain": "sly",
            "headers": True,
            "jetstream": True,
        }
        self._writer.write(f"CONNECT {json.dumps(options)}\r\n".encode())
        await self.all_handled()

    async def all_handled(self) -> None:
        """Return once the hub has handled all that was sent, or has closed the connection."""
        if self.is_closed:
            return
        pong = asyncio.Event()
        self._pongs.append(pong)
        self._writer.write(b"PING\r\n")
        async with asyncio.timeout(BOUND_SECONDS):
            await pong.wait()

    async def read(self) -> None:
        """Read until the hub closes the connection."""
        with contextlib.suppress(OSError):
            await self._read()
        self.is_closed = True
        for pong in self._pongs:
            pong.set()

    async def _read(self) -> None:
        while line := await self._reader.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            words = rest.split()
            if verb in ("LMSG", "HMSG"):
                body = await self._reader.readexactly(int(words[-1]) + 2)
                self.messages.append(LeafMessage(words[0], body[:-2]))
            elif verb == "LS+":
                self.wanted.add(words[0])
            elif verb == "PING":
                self._writer.write(b"PONG\r\n")
            elif verb == "PONG" and self._pongs:
                self._pongs.pop(0).set()
            elif verb == "-ERR":
                self.errors.append(rest)


@asynccontextmanager
async def raw_leaf(port: int, user: str, password: str) -> AsyncIterator[RawLeaf]:
    """Connect to a hub as a leaf node until the block ends."""
    reader, writer = await asyncio.open_connection(HOST, port)
    leaf = RawLeaf(reader, writer)
    reading = asyncio.create_task(leaf.read())
    try:
        await leaf.sign_in(user, password)
        yield leaf
    finally:
        await cancel_and_wait(reading)
        writer.close()
