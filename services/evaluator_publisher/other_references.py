"""What the features refer to beside which a feature is published."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from sluiceway.contracts.events import EventType
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_indexes import Entries
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.stream_records import Position
from sluiceway.pipelines.reference_graph import FeatureReferences, ReferenceGraph, References
from sluiceway.pipelines.references import related
from sluiceway.pipelines.substitutes import LiveVersions

#: What takes a version back comes first where features refer to each other in a cycle.
TAKES_BACK = frozenset(
    {EventType.TRIGGER_ABORTED, EventType.TRIGGER_ROLLED_BACK, EventType.PHASE_ROLLED_BACK}
)


class EvaluatedReferences:
    """What regions evaluate with each feature, by its newest version: every event keeps it current.

    It holds only features that refer to others; those that share a name share the references, too.
    """

    def __init__(self) -> None:
        self.graph = ReferenceGraph()
        self._by_name: dict[str, dict[FeatureKey, tuple[str, ...]]] = {}

    def replace(self, before: FeatureEntry | None, after: FeatureEntry, entries: Entries) -> None:
        """Take what the newest event of a feature refers to."""
        references = after.evaluated_references or ()
        if references == ((before and before.evaluated_references) or ()):
            return
        name = after.key.spec_name
        of_name = self.of_others(name, after.key)
        if references:
            of_name[after.key] = references
        self._by_name[name] = of_name
        if not of_name:
            del self._by_name[name]
        self.graph = with_references(self.graph, name, of_name)

    def clear(self) -> None:
        """Forget everything."""
        self.graph = ReferenceGraph()
        self._by_name.clear()

    def of_others(self, name: str, key: FeatureKey) -> dict[FeatureKey, tuple[str, ...]]:
        """Return what the features with this name refer to, except for one."""
        known = self._by_name.get(name, {})
        return {other: references for other, references in known.items() if other != key}

    def keys(self, name: str) -> tuple[FeatureKey, ...]:
        """Return the features with this name that refer to others."""
        return tuple(self._by_name.get(name, ()))


def with_references(
    graph: ReferenceGraph, name: str, references: Mapping[FeatureKey, tuple[str, ...]]
) -> ReferenceGraph:
    """Return the graph in which the features of a name refer to these."""
    all_references = sum(references.values(), ())
    return graph.changed(name, FeatureReferences(all_references) if all_references else None)


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
        references: EvaluatedReferences,
        substituted: Mapping[FeatureKey, Substitution],
        features: FeatureView,
        entry: FeatureEntry,
    ) -> None:
        """`substituted`: the features of which something else is published than their newest version."""
        self._references = references
        self._substituted = substituted
        self._features = features
        self._entry = entry

    @cached_property
    def of_newest(self) -> References:
        """What a newest version is checked with: all as they are, and those before it as they should be."""
        return self._graph(of_newest=True).current

    @cached_property
    def of_substitute(self) -> References:
        """What a substitute is checked with: all as they should be, and those before it as they are."""
        return self._graph(of_newest=False).current

    def related(self) -> list[FeatureKey]:
        """Return the features that may be in conflict with this one."""
        graph = self._references.graph
        keys: dict[str, tuple[FeatureKey, ...]] = {}
        for other, substitution in self._others():
            name = other.key.spec_name
            keys[name] = (*keys.get(name, ()), other.key)
            newest = other.evaluated_references or ()
            graph = self._changed(graph, other, newest + substitution.references)
        names = related(self._entry.key.spec_name, graph.current)
        found = dict.fromkeys(
            key for name in sorted(names) for key in (*self._references.keys(name), *keys.get(name, ()))
        )
        return [key for key in found if key != self._entry.key]

    def _graph(self, *, of_newest: bool) -> ReferenceGraph:
        """Return the references of all newest versions, changed by what is published instead of them."""
        graph = self._references.graph
        for other, published in self._others():
            newest, is_before = other.evaluated_references or (), _rank(other) < _rank(self._entry)
            if of_newest:
                references = published.references + (newest if is_before else ())
            else:
                references = newest + (published.references if is_before else ())
            graph = self._changed(graph, other, references)
        return graph

    def _changed(
        self, graph: ReferenceGraph, other: FeatureEntry, references: tuple[str, ...]
    ) -> ReferenceGraph:
        name = other.key.spec_name
        of_name = self._references.of_others(name, other.key) | {other.key: references}
        return with_references(graph, name, of_name)

    def _others(self) -> Iterator[tuple[FeatureEntry, Substitution]]:
        """Yield the other features of which something else is published than their newest version."""
        for key, substitution in self._substituted.items():
            other = self._features.get(key)
            if other and key != self._entry.key and substitution.sequence == other.sequence:
                yield other, substitution


def _rank(entry: FeatureEntry) -> tuple[bool, int]:
    return entry.type not in TAKES_BACK, entry.sequence
