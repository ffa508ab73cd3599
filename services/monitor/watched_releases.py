"""The releases that are out, and which of them an alert may concern: an index, kept by the headers of events.

What an alert costs does not depend on how many releases there are, only on how many it may concern.
"""

import heapq
import logging
from itertools import islice
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.errors import Rejected
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.pipelines.alert_keys import (
    ANY_ALERT,
    KeyGroup,
    alert_keys,
    keys_of_header,
    named_features,
    release_keys,
)
from sluiceway.pipelines.alert_matches import names_release

log = logging.getLogger(__name__)


class ObservedRelease(NamedTuple):
    """A completed release, which is watched no longer than this."""

    until_ms: int
    key: FeatureKey


class WatchedReleases:
    """The features whose newest release is active or observed, by what alerts about it have."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: The groups of keys of each one; the one that changed last comes last.
        self._groups: dict[FeatureKey, tuple[KeyGroup, ...]] = {}
        #: Releases with the same pipeline or guardrails share a group, and so their place in the index.
        self._members: dict[KeyGroup, dict[FeatureKey, None]] = {}
        #: Each group is under one of its keys: the rarest one, as far as was known.
        self._under: dict[str, dict[KeyGroup, None]] = {}
        self._key_of: dict[KeyGroup, str] = {}
        self._until_ms: dict[FeatureKey, int] = {}
        self._observed: list[ObservedRelease] = []

    def __len__(self) -> int:
        return len(self._groups)

    def note(self, entry: FeatureEntry) -> None:
        """Take the newest event of a feature into account."""
        self._drop(entry.key)
        if entry.is_active:
            self._add(entry)
        elif entry.observed_until_ms > self._clock():
            self._add(entry)
            self._until_ms[entry.key] = entry.observed_until_ms
            heapq.heappush(self._observed, ObservedRelease(entry.observed_until_ms, entry.key))

    def clear(self) -> None:
        """Forget everything: the log went back."""
        for contents in (self._groups, self._members, self._under, self._key_of, self._until_ms):
            contents.clear()
        self._observed.clear()

    def concerned_by(self, alert: Alert) -> list[FeatureKey]:
        """Return the features whose releases an alert may concern; `match_alert` tells whether it does."""
        self._drop_expired()
        found = {key: None for key in named_features(alert) if key in self._groups}
        keys = alert_keys(alert)
        for key in keys:
            for group in self._under.get(key, ()):
                if keys.issuperset(group):
                    found.update(self._members[group])
        if not names_release(alert):
            found.update(self._members.get(ANY_ALERT, {}))
        return list(found)

    def newest(self, count: int) -> list[FeatureKey]:
        """Return so many features that are watched: those that changed last, the newest first."""
        self._drop_expired()
        return list(islice(reversed(self._groups), count))

    def _add(self, entry: FeatureEntry) -> None:
        groups = _groups_of(entry)
        if groups is None:
            return
        self._groups[entry.key] = groups
        for group in groups:
            if group not in self._members:
                self._members[group] = {}
                self._place(group)
            self._members[group][entry.key] = None

    def _place(self, group: KeyGroup) -> None:
        if group != ANY_ALERT:
            key = self._key_of[group] = min(group, key=lambda key: len(self._under.get(key, ())))
            self._under.setdefault(key, {})[group] = None

    def _drop(self, feature: FeatureKey) -> None:
        self._until_ms.pop(feature, None)
        for group in self._groups.pop(feature, ()):
            members = self._members[group]
            del members[feature]
            if not members:
                del self._members[group]
                self._displace(group)

    def _displace(self, group: KeyGroup) -> None:
        if group != ANY_ALERT:
            key = self._key_of.pop(group)
            del self._under[key][group]
            if not self._under[key]:
                del self._under[key]

    def _drop_expired(self) -> None:
        """Drop each release that is not observed any more."""
        now_ms = self._clock()
        while self._observed and self._observed[0].until_ms <= now_ms:
            until_ms, key = heapq.heappop(self._observed)
            if self._until_ms.get(key) == until_ms:
                self._drop(key)


def _groups_of(entry: FeatureEntry) -> tuple[KeyGroup, ...] | None:
    """Return the groups of keys of an entry's release; None if its event is invalid."""
    if entry.alert_keys is not None:
        return keys_of_header(entry.alert_keys)
    try:  # an older version has stored it
        trigger = entry.event.feature.trigger
    except Rejected as error:
        log.error("%s: its newest event is invalid: no alert takes it back: %s", entry.key, error)
        return None
    return release_keys(trigger) if trigger else None
