"""What regions may hold, by the log: what was released there, only then, and in the end all of it."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from sluiceway.contracts.feature import Feature
from sluiceway.pipelines.projection import checksum, project
from sluiceway.pipelines.segments import Extent, Location, coverage

from .history import ROUNDING_MS, History, ServedRules, StoredEvent

#: What was taken back or replaced is gone from a region within this, whatever the faults meanwhile.
REPLACED_MS = 60_000


def containment(history: History) -> Iterator[str]:
    """Compare what each edge served with the log: never early, never again, and never back."""
    allowed = _Allowed(history)
    for served in history.served:
        if problem := allowed.problem_of(served):
            yield f"{served.edge} served {served.feature} at revision {served.revision}: {problem}"


class _Allowed:
    """Which versions of a feature a region may have, by the log."""

    def __init__(self, history: History) -> None:
        self._events = {entry.sequence: entry for entry in history.events}
        self._places = {known.region.name: Location.of(known.region) for known in history.regions}
        self._by_feature = history.by_feature()
        #: Sequence and region → the checksum of what the event projects to.
        self._checksums: dict[tuple[int, str], str | None] = {}
        #: Sequence → the place of the event in its feature's log.
        self._index = {
            entry.sequence: index
            for entries in self._by_feature.values()
            for index, entry in enumerate(entries)
        }

    def knows(self, served: ServedRules) -> bool:
        """Return whether the log has the event that is served."""
        entry = self._events.get(served.revision)
        return entry is not None and str(entry.event.feature.key) == served.feature

    def problem_of(self, served: ServedRules) -> str | None:
        """Return what is wrong with what was served; None if nothing is."""
        if not self.knows(served):
            return "the log has no such event of it"
        entry = self._events[served.revision]
        if served.first_ms < entry.stored_ms - ROUNDING_MS:
            return f"{entry.stored_ms - served.first_ms} ms before that event was stored"
        place = self._places[served.region]
        if extra := set(served.versions) - allowed_versions(entry.event.feature, place):
            return f"the versions {sorted(extra)} were not released there"
        if served.checksum != self._checksum(entry, served.region):
            return "they are not what that event projects to"
        if (late := self.replaced_ms(served)) > REPLACED_MS:
            return f"the versions {list(served.versions)} still {late} ms after others had replaced them"
        if served.absent_ms is not None and not self._is_removed(served):
            return "it was not served any more in the next answer"
        return None

    def replaced_ms(self, served: ServedRules) -> int:
        """Return for how long rules were served after others had replaced them there; 0 if none had."""
        for later in self._after(served):
            if self._checksum(later, served.region) != served.checksum:
                return max(0, served.last_ms - later.stored_ms)
        return 0

    def _checksum(self, entry: StoredEvent, region: str) -> str | None:
        """Return that of what an event projects to; None if that is nothing."""
        key = (entry.sequence, region)
        if key not in self._checksums:
            document = project(entry.event, entry.sequence, self._places[region])
            self._checksums[key] = checksum(document) if document else None
        return self._checksums[key]

    def late_ms(self, served: ServedRules) -> int:
        """Return for how long a version was still served after it was taken back there; 0 if it was not."""
        place = self._places[served.region]
        for later in self._after(served):
            if set(served.versions) - allowed_versions(later.event.feature, place):
                return max(0, served.last_ms - later.stored_ms)
        return 0

    def _is_removed(self, served: ServedRules) -> bool:
        """Return whether the region should have nothing of the feature by when it was absent."""
        place = self._places[served.region]
        return any(
            later.stored_ms <= (served.absent_ms or 0) and not allowed_versions(later.event.feature, place)
            for later in self._after(served)
        )

    def _after(self, served: ServedRules) -> Iterator[StoredEvent]:
        """Yield the events of the feature after the one that is served."""
        entries = self._by_feature[served.feature]
        return (entries[place] for place in range(self._index[served.revision] + 1, len(entries)))


class Lateness(NamedTuple):
    """For how long edges served, at most, what they should not have served any more."""

    taken_back_ms: int
    replaced_ms: int


def longest_lateness(history: History) -> Lateness:
    """Return for how long a version was served after it was taken back, and rules after newer ones."""
    allowed = _Allowed(history)
    known = [served for served in history.served if allowed.knows(served)]
    return Lateness(
        max(map(allowed.late_ms, known), default=0), max(map(allowed.replaced_ms, known), default=0)
    )


def allowed_versions(feature: Feature, place: Location) -> set[int]:
    """Return the versions that a region may have in this state: the base, and a candidate released there."""
    if feature.archived:
        return set()
    versions = {feature.base.version} if feature.base else set()
    is_released = (
        feature.candidate is not None
        and feature.trigger is not None
        and any(
            coverage((run.phase,), place).extent is not Extent.NONE
            for run in feature.trigger.phases
            if run.started_ms is not None
        )
    )
    return versions | {feature.candidate.version} if is_released and feature.candidate else versions


def forward(history: History) -> Iterator[str]:
    """Look whether what an edge served of a feature went back, also when it was started again.

    No store goes back in a run, so a newer epoch does not excuse it.
    """
    by_edge = defaultdict(list)
    for served in history.served:
        by_edge[served.edge, served.feature].append(served)
    for (edge, feature), records in by_edge.items():
        records.sort(key=lambda record: record.first_ms)
        for before, after in pairwise(records):
            if after.revision < before.revision:
                yield f"{edge} went back from revision {before.revision} of {feature} to {after.revision}"


def convergence(history: History) -> Iterator[str]:
    """Compare what every edge holds in the end with what the newest state of each feature projects to."""
    newest = {entry.event.feature.key: entry for entry in history.events}
    held = {(final.edge, final.feature): final for final in history.final}
    for known in history.regions:
        place = Location.of(known.region)
        expected = {
            str(key): (entry.sequence, checksum(document))
            for key, entry in newest.items()
            if (document := project(entry.event, entry.sequence, place))
        }
        for edge in known.edges:
            features = expected.keys() | {feature for name, feature in held if name == edge}
            for feature in sorted(features):
                final = held.get((edge, feature))
                found = final and final.checksum
                if found != (expected[feature][1] if feature in expected else None):
                    revision = final.revision if final else None
                    yield f"{edge} has {feature} of revision {revision}, the log says {expected.get(feature)}"
