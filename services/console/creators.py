"""Who created each feature, and when: the first event of its log, which never changes."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from cachetools import LRUCache

from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView

#: Features whose creation is remembered; the others are read again.
CREATIONS_MAX = 10_000


class Creation(NamedTuple):
    """Who created a feature, and when."""

    creator: str
    created_ms: int


class Creators:
    """Reads creations from the log, and remembers them until the log goes back."""

    def __init__(self, log: FeatureLog, features: FeatureView) -> None:
        self._log = log
        self._features = features
        self._creations: LRUCache[FeatureKey, Creation] = LRUCache(CREATIONS_MAX)
        #: How often the log had been read from the start when they were read.
        self._resets = 0

    async def of(self, keys: Iterable[FeatureKey]) -> dict[FeatureKey, Creation]:
        """Return the creation of each feature; without those whose first event cannot be read."""
        if self._resets != self._features.resets:
            self._resets = self._features.resets
            self._creations.clear()
        creations, wanted = self._creations, list(keys)
        found = {key: creations[key] for key in wanted if key in creations}
        unknown = [key for key in wanted if key not in found]
        for key, first in zip(unknown, await asyncio.gather(*map(self._log.first, unknown)), strict=True):
            if first:
                creations[key] = found[key] = Creation(first.event.actor_id, first.event.time_ms)
        return found
