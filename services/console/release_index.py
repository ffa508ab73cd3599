"""Every trigger there ever was: where the log says last what became of it.

What has ended is read from the log when somebody asks for it, once; after that only what is new.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from sluiceway.contracts import subjects
from sluiceway.contracts.feature import Feature, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, feature_of
from sluiceway.errors import Rejected
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.history import read_records
from sluiceway.messaging.stream_follower import Record


class ReleaseEntry(NamedTuple):
    """A trigger, as the log last told of it."""

    id: str
    key: FeatureKey
    pipeline: str
    status: TriggerStatus
    created_ms: int
    #: Of its newest event in FEATURES.
    sequence: int


class ReleaseIndex:
    """Finds them."""

    def __init__(self, connection: Connection, log: FeatureLog, features: FeatureView) -> None:
        self._js = connection.js
        self._log = log
        self._features = features
        self._found: dict[str, ReleaseEntry] = {}
        self._stream = ""
        self._read_until = 0
        self._reading = asyncio.Lock()

    def active(self) -> list[ReleaseEntry]:
        """Return those that are under way, without a look into the log."""
        found = []
        for entry in self._features:
            trigger = entry.event.feature.active_trigger if entry.is_active else None
            if trigger:
                about = (trigger.pipeline.id, trigger.status, trigger.created_ms)
                found.append(ReleaseEntry(trigger.id, entry.key, *about, entry.sequence))
        return found

    async def all(self) -> Collection[ReleaseEntry]:
        """Return all; the first time takes as long as reading the log.

        `Unavailable` where it cannot be read; asking again goes on where that ended.
        """
        async with self._reading:
            await self._read_on()
            return tuple(self._found.values())

    async def state(self, id_: str) -> Feature | None:
        """Return the feature of a trigger as it was at the newest event of that; None where there is none."""
        entry = self._features.get(feature_of(id_))
        if entry is None:
            return None
        newest = entry.event.feature
        if newest.trigger and newest.trigger.id == id_:
            return newest
        await self.all()
        found = self._found.get(id_)
        return await self._state(found) if found else None

    async def states(self, releases: Iterable[ReleaseEntry]) -> list[Feature]:
        """Return the feature of each as it was at the newest event of its trigger."""
        return [state for state in await asyncio.gather(*map(self._state, releases)) if state]

    async def _state(self, release: ReleaseEntry) -> Feature | None:
        """Return that of one; None where somebody has published what only looks like an event."""
        entry = self._features.get(release.key)
        try:
            newest = entry if entry and entry.sequence == release.sequence else None
            return (newest.event if newest else await self._log.at(release.sequence)).feature
        except Rejected:
            return None

    async def _read_on(self) -> None:
        position = self._features.position
        if self._stream != position.created:
            self._stream, self._read_until, self._found = position.created, 0, {}
        if self._read_until >= position.sequence:
            return
        found = read_records(
            self._js,
            subjects.FEATURES_STREAM,
            subjects.FEATURES,
            after=self._read_until,
            until=position.sequence,
        )
        async for record in found:
            self._take(record)
            self._read_until = record.sequence
        self._read_until = position.sequence

    def _take(self, record: Record) -> None:
        try:
            key = subjects.parse_feature(record.subject)
            trigger = _EVENTS.decode(record.data).feature.trigger
            if trigger and feature_of(trigger.id) == key:
                status = TriggerStatus(trigger.status)
                about = (trigger.pipeline.id, status, trigger.created_ms)
                self._found[trigger.id] = ReleaseEntry(trigger.id, key, *about, record.sequence)
        except (ValueError, msgspec.MsgspecError):
            return  # no event: whoever decides by it tells it already


class _Pipeline(msgspec.Struct):
    id: str


class _Trigger(msgspec.Struct, rename="camel"):
    id: str
    pipeline: _Pipeline
    status: str
    created_ms: int


class _State(msgspec.Struct):
    trigger: _Trigger | None = None


class _Event(msgspec.Struct):
    """The little of an event that tells releases apart; all else is passed over."""

    feature: _State


_EVENTS = msgspec.json.Decoder(_Event)
