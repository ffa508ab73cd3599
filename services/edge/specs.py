"""The rules of a region as one config-spec payload (`dcs-v2`), for the official SDKs."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from time import monotonic

from cachetools import LRUCache

from sluiceway.client.region_rules import RegionRules
from sluiceway.messaging.stream_records import Position

from .gzip_stream import Piece, gzip_stream
from .spec_parts import CHECKSUM_LENGTH, SpecParts
from .waiters import Waiters

#: Payloads whose place in RULES is remembered, for what SDKs say that they have.
PLACES_MAX = 1_000
#: How long a request waits for the first payload.
FIRST_WAIT_SECONDS = 2.0
#: After a payload, changes are collected for so long before the next one. A change after a rest is not kept
#: waiting.
NEXT_PAYLOAD_SECONDS = 0.1


class PayloadText:
    """One of the texts of a payload, joined and compressed when first asked for, once each."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._text: bytes | None = None
        self._compressed: asyncio.Task[bytes] | None = None

    @property
    def text(self) -> bytes:
        """The whole text."""
        if self._text is None:
            self._text = b"".join(piece.text for piece in self._pieces)
        return self._text

    def __len__(self) -> int:
        return sum(len(piece.text) for piece in self._pieces)

    async def compressed(self) -> bytes:
        """Return the text in gzip. A thread compresses it for all who ask; who goes away stops nothing."""
        if self._compressed is None:
            self._compressed = asyncio.create_task(asyncio.to_thread(gzip_stream, self._pieces))
        return await asyncio.shield(self._compressed)


class SpecPayload:
    """The payload of one state of the rules."""

    def __init__(self, place: Position, parts: SpecParts, epoch: int = 0) -> None:
        """`place`: how far RULES is applied, and the time of the newest message up to there."""
        content = list(_content(parts))
        self.place = place
        self.member_lists = parts.member_lists()
        #: The version: when the broker stored the newest message. It is never smaller than that of an earlier
        #: state, also if RULES went back: the publisher has written to it since. Every replica has the same.
        self.time = place.time_ms
        #: Letters and digits only: the SDKs escape it twice in their requests.
        self.checksum = _checksum(content)
        version = b'{"has_updates":true,"time":%d,"checksum":"%s"' % (self.time, self.checksum.encode())
        lists = json.dumps(dict.fromkeys(self.member_lists, True)).encode()
        head = b'%s,"layer_configs":{},"experiment_to_layer":{},"id_lists":%s,' % (version, lists)
        #: For official SDKs.
        self.specs = PayloadText([Piece(head), *content, _literal(b"}")])
        place_in_rules = b'"created":"%s","sequence":%d' % (place.created.encode(), place.sequence)
        head = b'%s,%s,"epoch":%d,"documents":[' % (version, place_in_rules, epoch)
        #: The rule documents themselves, for our own client.
        self.documents = PayloadText([Piece(head), *_listed(parts.documents), _literal(b"]}")])

    def is_newer_than(self, time: int, checksum: str | None) -> bool:
        """Return whether the payload is newer than, and differs from, the one that an SDK has."""
        if checksum:
            return checksum != self.checksum and self.time >= time
        return self.time > time


class SpecFeed:
    """Provides the latest payload, and waits for newer ones.

    `is_complete` returns whether the rules are a whole state: while a region is read again from the
    start, the previous payload stays.
    """

    def __init__(self, rules: RegionRules, is_complete: Callable[[], bool] = lambda: True) -> None:
        self._rules = rules
        self.is_complete = is_complete
        self._parts = SpecParts()
        self._published: SpecPayload | None = None
        #: The position of the rules when the payload was assembled.
        self._position: Position | None = None
        #: When the next payload may be assembled, in seconds of the monotonic clock.
        self._next_at = 0.0
        self._next: asyncio.TimerHandle | None = None
        #: Compresses the newest payload for those who wait, then wakes them.
        self._preparing: asyncio.Task[None] | None = None
        #: Time and checksum of each payload → its place in RULES.
        self._places: LRUCache[tuple[int, str | None], Position] = LRUCache(PLACES_MAX)
        self._waiters = Waiters()
        self.is_closed = False
        rules.on_change = self._on_change

    def close(self) -> None:
        """End all waiting."""
        self.is_closed = True
        self.wake()

    def latest(self, *, is_exact: bool = False) -> SpecPayload | None:
        """Return the payload to serve now; None until there is one.

        It may lack changes of the last moment (`NEXT_PAYLOAD_SECONDS`): those who wait get them then. With
        `is_exact` it lacks none: for those who evaluate the rules themselves, and say which ones.
        """
        rules, published = self._rules, self._published
        if published and rules.position is self._position:
            return published  # nothing has changed: every poll comes here several times
        place = rules.position._replace(time_ms=rules.time_ms)
        if not rules.is_whole or (published and published.place == place):
            return published
        if published is None or (self.is_complete() and (is_exact or self._may_assemble())):
            published = self._assemble(place)
        return published

    def place(self, time: int, checksum: str | None) -> Position | None:
        """Return the place in RULES of the payload that an SDK has; None if it is unknown."""
        published = self._published
        if published and checksum == published.checksum:
            return published.place
        return self._places.get((time, checksum))

    async def wait_for_latest(self) -> SpecPayload:
        """Return the payload to serve, as soon as there is one."""
        while (published := self.latest()) is None:
            await self._waiters.wait()
        return published

    async def wait_for_first(self, timeout: float) -> SpecPayload | None:
        """Return the payload to serve; None if there is none within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                return await self.wait_for_latest()
        except TimeoutError:
            return None

    async def wait_for_newer(
        self,
        time: int,
        checksum: str | None,
        timeout: float,
        may_wait: Callable[[], bool] = lambda: True,
    ) -> SpecPayload | None:
        """Return a payload that is newer than this one; None if there is none within `timeout` seconds.

        It is None as soon as `may_wait` is false, too; `wake` lets all waiting look at that.
        """
        try:
            async with asyncio.timeout(timeout):
                while not self.is_closed and may_wait():
                    published = self.latest()
                    if published and published.is_newer_than(time, checksum):
                        return published
                    await self._waiters.wait()
        except TimeoutError:
            pass
        return None

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._waiters.wake_all()

    def _on_change(self) -> None:
        if self._waiters:
            self._look_later()

    def _may_assemble(self) -> bool:
        """Return whether another payload may be assembled now; otherwise it is, once it may."""
        if self._preparing is None and monotonic() >= self._next_at:
            return True
        self._look_later()
        return False

    def _look_later(self) -> None:
        if self._next is None and self._preparing is None:
            seconds = max(0.0, self._next_at - monotonic())
            self._next = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._next = None
        self.latest()

    def _assemble(self, place: Position) -> SpecPayload:
        self._parts.update(self._rules.raw_documents())
        published = self._published = SpecPayload(place, self._parts, self._rules.epoch)
        self._position = self._rules.position
        self._next_at = monotonic() + NEXT_PAYLOAD_SECONDS
        for checksum in (published.checksum, None):
            self._places[published.time, checksum] = place
        if self._waiters and self._preparing is None:
            self._preparing = asyncio.create_task(self._prepare(published))
        return published

    async def _prepare(self, published: SpecPayload) -> None:
        try:
            await published.specs.compressed()
        finally:
            self._preparing = None
            self.wake()
            self._look_later()


def _content(parts: SpecParts) -> Iterator[Piece]:
    """Yield the members of the payload that come from documents."""
    separator = b""
    for part, blocks in parts.blocks.items():
        yield _literal(b'%s"%s":{' % (separator, part.encode()))
        yield from _listed(blocks)
        separator = b"},"
    yield _literal(b"}")


def _listed(blocks: Iterable[Piece]) -> Iterator[Piece]:
    """Yield blocks with commas between them."""
    for place, block in enumerate(blocks):
        if place:
            yield _literal(b",")
        yield block


@lru_cache(maxsize=16)
def _literal(text: bytes) -> Piece:
    """Return the piece for one of the few texts that stand between blocks."""
    return Piece(text)


def _checksum(content: Iterable[Piece]) -> str:
    hashed = hashlib.sha256()
    for piece in content:
        hashed.update(piece.text)
    return hashed.hexdigest()[:CHECKSUM_LENGTH]
