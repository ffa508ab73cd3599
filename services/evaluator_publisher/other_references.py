"""What the features refer to beside which a feature is published."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from sluiceway.contracts.events import EventType
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.messaging.stream_follower import Position
from sluiceway.pipelines.reference_graph import References
from sluiceway.pipelines.references import related
from sluiceway.pipelines.substitutes import LiveVersions

#: What takes a version back comes first where features refer to each other in a cycle.
TAKES_BACK = frozenset(
    {EventType.TRIGGER_ABORTED, EventType.TRIGGER_ROLLED_BACK, EventType.PHASE_ROLLED_BACK}
)


class Referrer(NamedTuple):
    """A feature that refers to others."""

    entry: FeatureEntry
    references: tuple[str, ...]


class Substitution(NamedTuple):
    """An event that some region cannot receive, and what regions evaluate instead."""

    sequence: int
    references: tuple[str, ...]
    earlier: LiveVersions
    #: How far the log was read when that was decided.
    position: Position


class OtherReferences:
    """What the other features refer to.

    Where features refer to each other in a cycle, the newest event loses, unless it takes a version back.
    That order is the same for every replica, and after every restart.
    """

    def __init__(
        self,
        referrers: Sequence[Referrer],
        substituted: Mapping[FeatureKey, Substitution],
        entry: FeatureEntry,
    ) -> None:
        self._referrers = referrers
        self._substituted = substituted
        self._entry = entry

    @cached_property
    def of_newest(self) -> References:
        """What a newest version is checked with: all as they are, and those before it as they should be."""
        return {
            other.key.spec_name: self._published(other, references) + self._wanted(other, references)
            for other, references in self._others()
        }

    @cached_property
    def of_substitute(self) -> References:
        """What a substitute is checked with: all as they should be, and those before it as they are."""
        return {
            other.key.spec_name: references + (self._published(other, ()) if self._is_before(other) else ())
            for other, references in self._others()
        }

    def related(self) -> list[FeatureKey]:
        """Return the features that may be in conflict with this one."""
        name = self._entry.key.spec_name
        keys = {other.key.spec_name: other.key for other, _ in self._others()}
        graph = {other.key.spec_name: references for other, references in self._others()}
        graph[name] = self._entry.evaluated_references or ()
        return [keys[each] for each in related(name, graph) if each in keys]

    def _others(self) -> Iterator[Referrer]:
        return (referrer for referrer in self._referrers if referrer.entry.key != self._entry.key)

    def _published(self, other: FeatureEntry, references: tuple[str, ...]) -> tuple[str, ...]:
        """Return what is published of a feature; `references` if that is its newest version."""
        substitution = self._substituted.get(other.key)
        is_current = substitution is not None and substitution.sequence == other.sequence
        return substitution.references if substitution and is_current else references

    def _wanted(self, other: FeatureEntry, references: tuple[str, ...]) -> tuple[str, ...]:
        """Return what is to be published of a feature that comes first, if something else is published."""
        is_substituted = self._published(other, references) is not references
        return references if is_substituted and self._is_before(other) else ()

    def _is_before(self, other: FeatureEntry) -> bool:
        return _rank(other) < _rank(self._entry)


def _rank(entry: FeatureEntry) -> tuple[bool, int]:
    return entry.type not in TAKES_BACK, entry.sequence
