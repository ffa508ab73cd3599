"""Releases, active or ended, with their newest event in FEATURES.

The log is read when somebody lists ended releases: as a whole the first time, then only what is new.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sluiceway.contracts import subjects
from sluiceway.contracts.feature import Feature, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, feature_of
from sluiceway.errors import DECODE_ERRORS, Rejected
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.history import read_records
from sluiceway.messaging.stream_records import Record

from .event_models import decode_event
from .feature_lists import NewestReleases

#: Releases that are listed once ended ones are asked for: those with the newest events. Each takes some 400
#: bytes. An older one is still found by its id, in the log of its feature.
RELEASES_MAX = 100_000
#: Events that are looked into in a row, before others are answered.
LOOKED_INTO_MAX = 500


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
        newest: NewestReleases,
        counted: Callable[[Feature], Feature],
    ) -> None:
        self._js = connection.js
        self._counted = counted
        self._log = log
        self._features = features
        self._newest = newest
        #: In the order of their events.
        self._entries: OrderedDict[str, ReleaseEntry] = OrderedDict()
        #: The active releases, as they were when somebody listed them.
        self._active: dict[FeatureKey, ReleaseEntry] = {}
        #: How often the log had been read from the start when `_entries` were read.
        self._resets = 0
        self._read_until = 0
        self._reading = asyncio.Lock()

    def active(self, status: TriggerStatus | None, pipeline: str | None) -> list[FeatureEntry]:
        """Return the features whose release is active, with this status and pipeline, the newest first."""
        return [
            entry
            for entry in self._newest.active()
            if status in (None, entry.status) and pipeline in (None, entry.running_pipeline)
        ]

    async def all_active(self) -> list[ReleaseEntry]:
        """Return the active releases, the newest event first. The first call looks into each event."""
        async with self._reading:
            releases = await self.entries_of(tuple(self._newest.active()))
            self._active = {release.key: release for release in releases}
            return releases

    async def entries_of(self, entries: Sequence[FeatureEntry]) -> list[ReleaseEntry]:
        """Return the releases of the newest events of features; each event is looked into once."""
        found = []
        for number, entry in enumerate(entries, start=1):
            release = self._active.get(entry.key)
            if release is None or release.sequence != entry.sequence:
                release = _entry_of(entry.key, entry.sequence, entry.body)
            if release:
                found.append(release)
            if number % LOOKED_INTO_MAX == 0:
                await asyncio.sleep(0)
        return found

    async def all(self) -> list[ReleaseEntry]:
        """Return all releases, the newest event first. The first call reads the whole log.

        `Unavailable` if the log cannot be read; the next call continues from there.
        """
        async with self._reading:
            await self._read_new_events()
            return list(reversed(self._entries.values()))

    async def state(self, id_: str) -> Feature | None:
        """Return the feature as of the newest event of a trigger; None if the trigger does not exist."""
        entry = self._features.get(feature_of(id_))
        if entry is None:
            return None
        newest = entry.event.feature
        if newest.trigger and newest.trigger.id == id_:
            return self._counted(newest)
        history = await self._log.read_history(entry.key)
        states = (logged.event.feature for logged in reversed(history))
        found = next((state for state in states if state.trigger and state.trigger.id == id_), None)
        return self._counted(found) if found else None

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
            self._resets, self._read_until = self._features.resets, 0
            self._entries.clear()
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
            if entry := _entry_of_record(record):
                self._entries[entry.id] = entry
                self._entries.move_to_end(entry.id)
                if len(self._entries) > RELEASES_MAX:
                    self._entries.popitem(last=False)
            self._read_until = record.sequence
        self._read_until = position.sequence


def _entry_of_record(record: Record) -> ReleaseEntry | None:
    try:
        return _entry_of(subjects.parse_feature(record.subject), record.sequence, record.data)
    except ValueError:
        return None


def _entry_of(key: FeatureKey, sequence: int, data: bytes) -> ReleaseEntry | None:
    """Return the release that an event is about; None if it is about none, or is not an event."""
    try:
        trigger = decode_event(data).feature.trigger
        if trigger is None or feature_of(trigger.id) != key:
            return None
        return ReleaseEntry(
            id=trigger.id,
            key=key,
            pipeline=sys.intern(trigger.pipeline.id),
            status=TriggerStatus(trigger.status),
            created_ms=trigger.created_ms,
            sequence=sequence,
        )
    except (ValueError, *DECODE_ERRORS):  # not an event; the consumers have rejected it
        return None
