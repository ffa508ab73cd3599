"""Whether RULES holds, for each region of a phase, what the phase released there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cachetools import LRUCache

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.leader_reads import StoredHeaders
from sluiceway.messaging.rule_table import NOTHING
from sluiceway.messaging.rules_reads import RulesReads
from sluiceway.pipelines.projection import checksum, project_each
from sluiceway.tasks import with_pauses

from .baked_phase import BakedPhase
from .covered_regions import CoveredRegions

#: Checksums that are remembered.
PROJECTIONS_MAX = 10_000
#: Phases that are projected, before others have their turn.
PROJECTED_IN_A_ROW = 20


class _Projection(NamedTuple):
    """What a document is made from. After the log went back, a sequence may be that of another event."""

    feature: FeatureKey
    revision: int
    time_ms: int
    region: str
    region_revision: int


class _ExpectedDocument(NamedTuple):
    """Where a region has the document of a phase, and its checksum."""

    region: str
    place: str
    digest: str


class PublishedRules(NamedTuple):
    """The document of a phase in RULES, for one region."""

    region: str
    sequence: int
    #: Since when it stands there.
    since_ms: int


class PhaseRules(NamedTuple):
    """What RULES holds of a phase, and why the phase is held where it does not."""

    published: tuple[PublishedRules, ...]
    holds: tuple[str, ...]


class RulesReader:
    """Reads RULES at the leaders of its streams: a replica that answers direct reads may be behind."""

    def __init__(self, reads: RulesReads, catalogue: CatalogueView) -> None:
        self._reads = reads
        self._regions = CoveredRegions(catalogue)
        #: What is expected of a region, since the same phase is asked about again and again.
        self._expected: LRUCache[_Projection, str] = LRUCache(PROJECTIONS_MAX)

    def regions_of(self, phase: BakedPhase) -> tuple[str, ...]:
        """Return the regions of which a phase covers a part."""
        return tuple(region.name for region, _ in self._regions.of_phase(phase.phase))

    async def of_phases(self, phases: Sequence[BakedPhase]) -> list[PhaseRules]:
        """Return what RULES holds of each phase; it is read for all of them together."""
        expected = [self._documents(phase) async for phase in with_pauses(phases, PROJECTED_IN_A_ROW)]
        places = [document.place for documents in expected for document in documents]
        stored = await self._reads.newest(places)
        return [
            _compared(phase, documents, stored) for phase, documents in zip(phases, expected, strict=True)
        ]

    def _documents(self, phase: BakedPhase) -> list[_ExpectedDocument]:
        """Return the document that each region of a phase must have received."""
        event = phase.event
        key, time_ms = event.feature.key, event.time_ms
        regions = {
            _Projection(key, phase.revision, time_ms, region.name, region_revision): region
            for region, region_revision in self._regions.of_phase(phase.phase)
        }
        new = [region for projection, region in regions.items() if projection not in self._expected]
        documents = project_each(event, phase.revision, new) if new else {}
        digests = {id(document): checksum(document) for document in documents.values() if document}
        expected = []
        for projection, region in sorted(regions.items(), key=lambda item: item[0].region):
            digest = self._expected.get(projection)
            if digest is None:
                digest = self._expected[projection] = digests.get(id(documents[region.name]), NOTHING)
            expected.append(_ExpectedDocument(region.name, subjects.rule(region.name, key), digest))
        return expected


def _compared(
    phase: BakedPhase,
    documents: Iterable[_ExpectedDocument],
    stored: Mapping[str, StoredHeaders | None],
) -> PhaseRules:
    published: list[PublishedRules] = []
    holds: list[str] = []
    for region, place, digest in documents:
        found = stored.get(place)
        if found and found.headers.get(envelope.CHECKSUM) == digest:
            published.append(PublishedRules(region, found.sequence, found.time_ms))
        else:
            holds.append(_hold(region, phase, is_readable=place in stored))
    return PhaseRules(tuple(published), tuple(holds))


def _hold(region: str, phase: BakedPhase, *, is_readable: bool) -> str:
    """Return why a region holds the phase. The text does not change meanwhile."""
    if not is_readable:
        return f"region {region}: the published rules cannot be read"
    return f"region {region}: the rules are not published yet{_since(phase.trigger)}"


def _since(trigger: Trigger) -> str:
    started_ms = trigger.current_run.started_ms
    return f" (since {envelope.rfc3339(started_ms)})" if started_ms is not None else ""
