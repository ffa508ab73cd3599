"""What all features refer to, and what refers to them.

A graph never changes: a change is another graph, which shares nearly everything with the one before. So a
decision reads one state of it in any thread, without a copy, and visits only what is related.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Self, TypeAlias

from rpds import HashTrieMap, HashTrieSet

#: Name of a spec (`new_checkout`, `segment:beta`) → the specs it refers to, once for each reference.
References = Mapping[str, tuple[str, ...]]
#: A name → those who refer to it.
_Referrers: TypeAlias = "HashTrieMap[str, HashTrieSet[str]]"


class FeatureReferences(NamedTuple):
    """What a feature refers to now, and, until a time, would refer to after a rollback."""

    current: tuple[str, ...] = ()
    restorable: tuple[str, ...] = ()
    restorable_until_ms: int = 0

    def restorable_at(self, now_ms: int) -> tuple[str, ...]:
        """Return what the version refers to that a rollback would restore; nothing if none may come."""
        return self.restorable if now_ms < self.restorable_until_ms else ()

    def joined(self, other: Self) -> "FeatureReferences":
        """Return the references of two features of one name, which one check may evaluate."""
        return FeatureReferences(
            self.current + other.current,
            self.restorable + other.restorable,
            max(self.restorable_until_ms, other.restorable_until_ms),
        )


class ReferenceGraph:
    """The references of all features that are not archived, by the name of their spec."""

    __slots__ = ("_features", "_referrers", "_restorers")

    def __init__(
        self,
        features: "HashTrieMap[str, FeatureReferences] | None" = None,
        referrers: "_Referrers | None" = None,
        restorers: "_Referrers | None" = None,
    ) -> None:
        self._features: HashTrieMap[str, FeatureReferences] = HashTrieMap() if features is None else features
        self._referrers: _Referrers = HashTrieMap() if referrers is None else referrers
        #: Those whose restorable version refers to it, whether or not that may still be restored.
        self._restorers: _Referrers = HashTrieMap() if restorers is None else restorers

    @classmethod
    def of(cls, references: References) -> "ReferenceGraph":
        """Return the graph of features that have nothing to restore."""
        graph = cls()
        for name, current in references.items():
            graph = graph.changed(name, FeatureReferences(current))
        return graph

    def changed(self, name: str, references: FeatureReferences | None) -> "ReferenceGraph":
        """Return the graph in which a feature refers to these; None: it is archived."""
        before, after = self._features.get(name), references
        if before == after:
            return self
        features = self._features.discard(name) if after is None else self._features.insert(name, after)
        old, new = before or FeatureReferences(), after or FeatureReferences()
        return ReferenceGraph(
            features,
            _moved(self._referrers, name, old.current, new.current),
            _moved(self._restorers, name, old.restorable, new.restorable),
        )

    @property
    def current(self) -> "GraphReferences":
        """What the features refer to now."""
        return GraphReferences(self, None)

    def at(self, now_ms: int) -> "GraphReferences":
        """Return what the features refer to now, or after a rollback that may come."""
        return GraphReferences(self, now_ms)

    def __contains__(self, name: object) -> bool:
        return name in self._features

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)

    def of_feature(self, name: str) -> FeatureReferences | None:
        """Return what a feature refers to; None if it does not exist, or is archived."""
        return self._features.get(name)

    def referrers(self, name: str) -> Collection[str]:
        """Return those who refer to a spec now."""
        return self._referrers.get(name, HashTrieSet())

    def restorers(self, name: str, now_ms: int) -> list[str]:
        """Return those who would refer to a spec after a rollback that may come."""
        return [
            each
            for each in self._restorers.get(name, HashTrieSet())
            if name in self._features[each].restorable_at(now_ms)
        ]


class GraphReferences(Mapping[str, tuple[str, ...]]):
    """The references of a graph at one time, both ways."""

    __slots__ = ("_graph", "_now_ms")

    def __init__(self, graph: ReferenceGraph, now_ms: int | None) -> None:
        """`now_ms` None: without what a rollback would restore."""
        self._graph = graph
        self._now_ms = now_ms

    def __getitem__(self, name: str) -> tuple[str, ...]:
        found = self._graph.of_feature(name)
        if found is None:
            raise KeyError(name)
        return found.current if self._now_ms is None else found.current + found.restorable_at(self._now_ms)

    def __contains__(self, name: object) -> bool:
        return name in self._graph

    def __iter__(self) -> Iterator[str]:
        return iter(self._graph)

    def __len__(self) -> int:
        return len(self._graph)

    def referrers(self, name: str) -> set[str]:
        """Return those who refer to a spec."""
        current = set(self._graph.referrers(name))
        return current if self._now_ms is None else current.union(self._graph.restorers(name, self._now_ms))


def _moved(
    referrers: "_Referrers", name: str, before: tuple[str, ...], after: tuple[str, ...]
) -> "_Referrers":
    """Return `referrers` in which `name` refers to `after`, and no longer to `before`."""
    if before == after:
        return referrers
    for reference in set(before).difference(after):
        left = referrers[reference].remove(name)
        referrers = referrers.insert(reference, left) if left else referrers.remove(reference)
    for reference in set(after).difference(before):
        known: HashTrieSet[str] = referrers.get(reference, HashTrieSet())
        referrers = referrers.insert(reference, known.insert(name))
    return referrers
