"""The rules of a region as one config-spec payload (`dcs-v2`), for the official SDKs."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import msgspec
from cachetools import LRUCache

from sluiceway.client.region_rules import RegionRules
from sluiceway.messaging.stream_follower import Position

CHECKSUM_LENGTH = 32
COMPRESSION_LEVEL = 6
#: Payloads whose place in RULES is remembered, for what SDKs say that they have.
PLACES_MAX = 1_000
#: How long a request waits for the first payload.
FIRST_WAIT_SECONDS = 2.0


class _Specs(msgspec.Struct):
    """The parts of a document, each left as text."""

    feature_gates: dict[str, msgspec.Raw] = {}
    dynamic_configs: dict[str, msgspec.Raw] = {}
    condition_map: dict[str, msgspec.Raw] = {}
    override_rules: dict[str, msgspec.Raw] = {}
    overrides: dict[str, msgspec.Raw] = {}
    member_lists: dict[str, tuple[str, ...]] = {}


class _Document(msgspec.Struct):
    revision: int
    specs: _Specs


PARTS = ("feature_gates", "dynamic_configs", "condition_map", "override_rules", "overrides")


class MemberList(NamedTuple):
    """An id list, as the SDKs download it."""

    file_id: str
    created: int
    content: bytes


class SpecPayload:
    """The payload of one state of the rules."""

    def __init__(self, place: Position, documents: Collection[bytes], epoch: int = 0) -> None:
        """`place`: how far RULES is applied, and the time of the newest message up to there."""
        parts: dict[str, dict[str, msgspec.Raw]] = {name: {} for name in PARTS}
        self.member_lists: dict[str, MemberList] = {}
        for text in documents:
            document = msgspec.json.decode(text, type=_Document)
            for name in PARTS:
                parts[name].update(getattr(document.specs, name))
            for name, members in document.specs.member_lists.items():
                self.member_lists[name] = _member_list(document.revision, members)
        content = b",".join(b'"%s":%s' % (name.encode(), _object(part)) for name, part in parts.items())
        self.place = place
        #: The version: when the broker stored the newest message. It is never smaller than that of an earlier
        #: state, also if RULES went back: the publisher has written to it since. Every replica has the same.
        self.time = place.time_ms
        #: Letters and digits only: the SDKs escape it twice in their requests.
        self.checksum = hashlib.sha256(content).hexdigest()[:CHECKSUM_LENGTH]
        self.text = (
            b'{"has_updates":true,"time":%d,"checksum":"%s","layer_configs":{},"experiment_to_layer":{},'
            b'"id_lists":%s,%s}'
            % (
                self.time,
                self.checksum.encode(),
                json.dumps(dict.fromkeys(self.member_lists, True)).encode(),
                content,
            )
        )
        #: The rule documents themselves, for our own client.
        self.documents = (
            b'{"has_updates":true,"time":%d,"checksum":"%s","created":"%s","sequence":%d,"epoch":%d,'
            % (
                self.time,
                self.checksum.encode(),
                place.created.encode(),
                place.sequence,
                epoch,
            )
        )
        self.documents += b'"documents":[%s]}' % b",".join(documents)
        self._compressed: dict[bytes, bytes] = {}

    async def compressed(self, text: bytes) -> bytes:
        """Return one of the texts in gzip; it is compressed once, in a thread."""
        if text not in self._compressed:
            self._compressed[text] = await asyncio.to_thread(gzip.compress, text, COMPRESSION_LEVEL)
        return self._compressed[text]

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
        self._published: SpecPayload | None = None
        #: Time and checksum of each payload → its place in RULES.
        self._places: LRUCache[tuple[int, str | None], Position] = LRUCache(PLACES_MAX)
        self._changed = asyncio.Event()
        self.is_closed = False
        rules.on_change = self.wake

    def close(self) -> None:
        """End all waiting."""
        self.is_closed = True
        self.wake()

    def latest(self) -> SpecPayload | None:
        """Return the payload to serve now; None until there is one."""
        rules, published = self._rules, self._published
        place = rules.position._replace(time_ms=rules.time_ms)
        if not rules.is_whole or (published and published.place == place):
            return published
        if published is None or self.is_complete():
            published = SpecPayload(place, list(rules.raw_documents().values()), rules.epoch)
            self._published = published
            for checksum in (published.checksum, None):
                self._places[published.time, checksum] = place
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
            await self._changed.wait()
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
                    changed = self._changed
                    published = self.latest()
                    if published and published.is_newer_than(time, checksum):
                        return published
                    await changed.wait()
        except TimeoutError:
            pass
        return None

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()


def _object(members: Mapping[str, msgspec.Raw]) -> bytes:
    ordered = sorted(members.items())
    return b"{" + b",".join(json.dumps(name).encode() + b":" + bytes(text) for name, text in ordered) + b"}"


def _member_list(revision: int, members: tuple[str, ...]) -> MemberList:
    content = b"".join(b"+%s\n" % member.encode() for member in members)
    return MemberList(hashlib.sha256(content).hexdigest()[:CHECKSUM_LENGTH], revision, content)
