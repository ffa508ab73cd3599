"""The events that were parsed last: a parsed event takes some nine times the memory of its bytes."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

from cachetools import LRUCache

from ..contracts.events import FeatureEvent
from ..contracts.identifiers import FeatureKey

#: Bytes of the events that stay parsed: about a thousand of usual size. A larger one is parsed at each use.
PARSED_BYTES_MAX = 2 * 1024 * 1024


class _Parsed(NamedTuple):
    event: FeatureEvent
    #: The bytes that it was parsed from.
    size: int


class ParsedEvents:
    """Keeps parsed events; the least recently used is dropped first."""

    def __init__(self, bytes_max: int = PARSED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        #: Called with the feature, the sequence and the reason if a body cannot be parsed.
        self.on_invalid: Callable[[FeatureKey, int, str], None] = lambda key, sequence, reason: None
        self._events: LRUCache[Hashable, _Parsed] = LRUCache(bytes_max, getsizeof=lambda parsed: parsed.size)

    def get(self, key: Hashable) -> FeatureEvent | None:
        """Return an event that was kept; None if it was dropped since."""
        parsed = self._events.get(key)
        return parsed.event if parsed else None

    def keep(self, key: Hashable, event: FeatureEvent, size: int) -> None:
        """Keep an event of so many bytes, unless it is larger than all that may be kept."""
        if size <= self._bytes_max:
            self._events[key] = _Parsed(event, size)

    def drop(self, key: Hashable) -> None:
        """Drop an event that nobody asks for any more; others have its room."""
        self._events.pop(key, None)

    def clear(self) -> None:
        """Drop all."""
        self._events.clear()
