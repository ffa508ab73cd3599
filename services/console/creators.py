"""Who created each feature, and when. The log is asked once: its first event never changes."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView


class Creation(NamedTuple):
    """Where a feature comes from."""

    creator: str
    created_ms: int


class Creators:
    """Remembers them, for as long as it is the same log."""

    def __init__(self, log: FeatureLog, features: FeatureView) -> None:
        self._log = log
        self._features = features
        self._found: dict[FeatureKey, Creation] = {}
        self._stream = ""

    async def of(self, keys: Iterable[FeatureKey]) -> dict[FeatureKey, Creation]:
        """Return where features come from; those whose first event cannot be read are left out."""
        if self._stream != self._features.position.created:
            self._stream, self._found = self._features.position.created, {}
        found, asked = self._found, list(keys)
        unknown = [key for key in asked if key not in found]
        for key, first in zip(unknown, await asyncio.gather(*map(self._log.first, unknown)), strict=True):
            if first:
                found[key] = Creation(first.event.actor_id, first.event.time_ms)
        return {key: found[key] for key in asked if key in found}
