"""Every release that ever existed, active or ended, with its newest event in FEATURES.

The log is read when somebody asks for ended releases: as a whole the first time, then only what is new.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
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

from .event_models import decode_event


class ReleaseEntry(NamedTuple):
    """A trigger, as of its newest event."""

    id: str
    key: FeatureKey
    pipeline: str
    status: TriggerStatus
    created_ms: int
    #: Of its newest event in FEATURES.
    sequence: int


class ReleaseIndex:
    """Finds releases by reading FEATURES.

    `counted` returns a feature without the approvals that no longer count.
    """

    def __init__(
        self,
        connection: Connection,
        log: FeatureLog,
        features: FeatureView,
        counted: Callable[[Feature], Feature],
    ) -> None:
        self._js = connection.js
        self._counted = counted
        self._log = log
        self._features = features
        self._entries: dict[str, ReleaseEntry] = {}
        #: How often the log had been read from the start when `_entries` were read.
        self._resets = 0
        self._read_until = 0
        self._reading = asyncio.Lock()

    def active(self) -> list[ReleaseEntry]:
        """Return the active releases, from memory."""
        return [
            ReleaseEntry(
                id=trigger.id,
                key=entry.key,
                pipeline=trigger.pipeline.id,
                status=trigger.status,
                created_ms=trigger.created_ms,
                sequence=entry.sequence,
            )
            for entry in self._features
            if entry.is_active and (trigger := entry.event.feature.active_trigger)
        ]

    async def all(self) -> Collection[ReleaseEntry]:
        """Return all releases. The first call takes as long as reading the log.

        `Unavailable` if the log cannot be read; the next call continues from there.
        """
        async with self._reading:
            await self._read_new_events()
            return tuple(self._entries.values())

    async def state(self, id_: str) -> Feature | None:
        """Return the feature as of the newest event of a trigger; None if the trigger does not exist."""
        entry = self._features.get(feature_of(id_))
        if entry is None:
            return None
        newest = entry.event.feature
        if newest.trigger and newest.trigger.id == id_:
            return self._counted(newest)
        await self.all()
        release = self._entries.get(id_)
        return await self._state(release) if release else None

    async def states(self, releases: Iterable[ReleaseEntry]) -> list[Feature]:
        """Return the feature of each release as of the newest event of its trigger."""
        return [state for state in await asyncio.gather(*map(self._state, releases)) if state]

    async def _state(self, release: ReleaseEntry) -> Feature | None:
        """Return the feature of one release; None if its message only looks like an event."""
        entry = self._features.get(release.key)
        try:
            newest = entry if entry and entry.sequence == release.sequence else None
            event = newest.event if newest else await self._log.at(release.sequence)
            return self._counted(event.feature)
        except Rejected:
            return None

    async def _read_new_events(self) -> None:
        position = self._features.position
        if self._resets != self._features.resets:  # the log went back
            self._resets, self._read_until, self._entries = self._features.resets, 0, {}
        if self._read_until >= position.sequence:
            return
        records = read_records(
            self._js,
            subjects.FEATURES_STREAM,
            subjects.FEATURES,
            after=self._read_until,
            until=position.sequence,
        )
        async for record in records:
            if entry := _entry_of(record):
                self._entries[entry.id] = entry
            self._read_until = record.sequence
        self._read_until = position.sequence


def _entry_of(record: Record) -> ReleaseEntry | None:
    """Return the release that an event is about; None if it is about none, or is not an event."""
    try:
        key = subjects.parse_feature(record.subject)
        trigger = decode_event(record.data).feature.trigger
        if trigger is None or feature_of(trigger.id) != key:
            return None
        return ReleaseEntry(
            id=trigger.id,
            key=key,
            pipeline=trigger.pipeline.id,
            status=TriggerStatus(trigger.status),
            created_ms=trigger.created_ms,
            sequence=record.sequence,
        )
    except (ValueError, msgspec.MsgspecError):  # not an event; the consumers have rejected it
        return None
