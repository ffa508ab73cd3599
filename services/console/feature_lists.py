"""Features and releases in the order in which pages list them: a page costs what stands on it.

Both are indexes of the console's view (`FeatureView.with_index`), filled from headers.
"""

import bisect
from collections.abc import Iterator, Sequence

from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_indexes import Entries

#: If more names than this are new, all are sorted again, instead of inserting each.
INSERTED_MAX = 500


class FeatureNames:
    """The keys of all features by name, and those of each kind."""

    def __init__(self) -> None:
        self._all = _SortedKeys()
        self._of_kind = {kind: _SortedKeys() for kind in FeatureKind}

    def sorted(self, kind: FeatureKind | None = None) -> Sequence[FeatureKey]:
        """Return the keys of a kind, or all, by name; features that are new since are sorted in first."""
        return (self._all if kind is None else self._of_kind[kind]).keys()

    def sort(self) -> None:
        """Sort all names now, so that nobody waits for it."""
        for kind in (None, *FeatureKind):
            self.sorted(kind)

    def replace(self, before: FeatureEntry | None, after: FeatureEntry, entries: Entries) -> None:
        """Add a feature that is new."""
        if before is None:
            self._all.add(after.key)
            self._of_kind[after.key.kind].add(after.key)

    def clear(self) -> None:
        """Begin without features."""
        self._all.clear()
        for keys in self._of_kind.values():
            keys.clear()


class _SortedKeys:
    def __init__(self) -> None:
        self._sorted: list[FeatureKey] = []
        self._new: list[FeatureKey] = []

    def add(self, key: FeatureKey) -> None:
        self._new.append(key)

    def clear(self) -> None:
        self._sorted, self._new = [], []

    def keys(self) -> Sequence[FeatureKey]:
        if len(self._new) > INSERTED_MAX:
            self._sorted.extend(self._new)
            self._sorted.sort(key=_by_name)
        else:
            for key in self._new:
                bisect.insort(self._sorted, key, key=_by_name)
        self._new.clear()
        return self._sorted


def _by_name(key: FeatureKey) -> tuple[str, str]:
    return key.name, key.kind


class NewestReleases:
    """The features that have a release, the one with the newest event first: active, and ended."""

    def __init__(self) -> None:
        #: In the order of their events.
        self._active: dict[FeatureKey, FeatureEntry] = {}
        self._ended: dict[FeatureKey, FeatureEntry] = {}

    @property
    def active_count(self) -> int:
        """How many releases are active."""
        return len(self._active)

    def active(self) -> Iterator[FeatureEntry]:
        """Yield the features whose release is active."""
        return reversed(self._active.values())

    def ended(self) -> Iterator[FeatureEntry]:
        """Yield the features whose newest release has ended."""
        return reversed(self._ended.values())

    def replace(self, before: FeatureEntry | None, after: FeatureEntry, entries: Entries) -> None:
        """Put a feature in front of the others."""
        if before and before.status:
            (self._active if before.is_active else self._ended).pop(after.key, None)
        if after.status:
            (self._active if after.is_active else self._ended)[after.key] = after

    def clear(self) -> None:
        """Begin without releases."""
        self._active.clear()
        self._ended.clear()
