"""What is known of all features without a walk over them: each index is kept current by every event.

Indexes are filled from headers, so that no body is parsed for them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Protocol, TypeAlias

from rpds import HashTrieMap, HashTrieSet

from ..contracts.feature import TriggerStatus
from ..contracts.identifiers import FeatureKey, FeatureKind
from ..pipelines.catalogue_decisions import Usage
from ..pipelines.reference_graph import FeatureReferences, ReferenceGraph
from .feature_entry import FeatureEntry

Entries = Mapping[FeatureKey, FeatureEntry]
_Members: TypeAlias = "HashTrieMap[str, HashTrieSet[FeatureKey]]"

#: Features of these kinds have the same spec name if they have the same name.
SAME_NAMES = {FeatureKind.GATE: FeatureKind.DYNAMIC_CONFIG, FeatureKind.DYNAMIC_CONFIG: FeatureKind.GATE}
NO_REFERENCES = FeatureReferences()


class FeatureIndex(Protocol):
    """Something that is known of all features."""

    def replace(self, before: FeatureEntry | None, after: FeatureEntry, entries: Entries) -> None:
        """Take the newest event of a feature for the one before it; `entries` has it already."""

    def clear(self) -> None:
        """Forget everything: the log is read again."""


class StatusCounts:
    """How many newest triggers have each status."""

    def __init__(self) -> None:
        self._counts = Counter[TriggerStatus | None]()

    def __getitem__(self, status: TriggerStatus) -> int:
        return self._counts[status]

    def replace(self, before: FeatureEntry | None, after: FeatureEntry, entries: Entries) -> None:
        """Count the trigger of `after` instead of that of `before`."""
        if before:
            self._counts[before.status] -= 1
        self._counts[after.status] += 1

    def clear(self) -> None:
        """Count from zero."""
        self._counts.clear()


class ReferenceIndex:
    """What every feature refers to, and what refers to it, as a graph that never changes."""

    def __init__(self) -> None:
        self.graph = ReferenceGraph()

    def replace(self, before: FeatureEntry | None, after: FeatureEntry, entries: Entries) -> None:
        """Let the graph hold what a feature refers to by its newest event."""
        references = _references(after)
        if before and references == _references(before):
            return
        other = entries.get(FeatureKey(SAME_NAMES.get(after.key.kind, after.key.kind), after.key.name))
        if other and other is not after and (others := _references(other)):
            references = references.joined(others) if references else others
        self.graph = self.graph.changed(after.key.spec_name, references)

    def clear(self) -> None:
        """Begin with an empty graph."""
        self.graph = ReferenceGraph()


def _references(entry: FeatureEntry) -> FeatureReferences | None:
    """Return what a feature refers to, now and after a rollback; None if it is archived."""
    if entry.references is None:
        return None
    if not (entry.references or entry.observed_until_ms):
        return NO_REFERENCES
    return FeatureReferences(entry.references, entry.restorable_references, entry.observed_until_ms)


class PipelineUsage:
    """Which features are attached to each pipeline, and which are being released by it."""

    def __init__(self) -> None:
        self._attached: _Members = HashTrieMap()
        self._running: _Members = HashTrieMap()

    @property
    def usage(self) -> Usage:
        """What never changes, for a decision."""
        return Usage(self._attached, self._running)

    def replace(self, before: FeatureEntry | None, after: FeatureEntry, entries: Entries) -> None:
        """Move a feature to the pipelines of its newest event."""
        attached, running = (before.pipeline, before.running_pipeline) if before else (None, None)
        self._attached = _moved(self._attached, after.key, attached, after.pipeline)
        self._running = _moved(self._running, after.key, running, after.running_pipeline)

    def clear(self) -> None:
        """Begin without pipelines."""
        self._attached, self._running = HashTrieMap(), HashTrieMap()


def _moved(members: "_Members", key: FeatureKey, before: str | None, after: str | None) -> "_Members":
    if before == after:
        return members
    if before is not None:
        left = members[before].remove(key)
        members = members.insert(before, left) if left else members.remove(before)
    if after is not None:
        known: HashTrieSet[FeatureKey] = members.get(after, HashTrieSet())
        members = members.insert(after, known.insert(key))
    return members
