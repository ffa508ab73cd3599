"""Whether RULES holds, for each region of a phase, what the phase released there."""

from typing import NamedTuple

from cachetools import LRUCache

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.rule_table import NOTHING
from sluiceway.messaging.rules_reads import RulesReads
from sluiceway.pipelines.projection import checksum, project_each

from .covered_regions import CoveredRegions

#: Checksums that are remembered.
PROJECTIONS_MAX = 10_000


class _Projection(NamedTuple):
    """What a document is made from. After the log went back, a sequence may be that of another event."""

    feature: FeatureKey
    revision: int
    time_ms: int
    region: str
    region_revision: int


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

    async def of_phase(self, event: FeatureEvent, revision: int) -> PhaseRules:
        """Return what RULES holds of the current phase of a trigger; `revision` is the event's sequence."""
        expected = self._checksums(event, revision)
        places = {region: subjects.rule(region, event.feature.key) for region in sorted(expected)}
        stored = await self._reads.newest(places.values())
        published: list[PublishedRules] = []
        holds: list[str] = []
        for region, place in places.items():
            found = stored.get(place)
            if found and found.headers.get(envelope.CHECKSUM) == expected[region]:
                published.append(PublishedRules(region, found.sequence, found.time_ms))
            else:
                holds.append(_hold(region, event, is_readable=place in stored))
        return PhaseRules(tuple(published), tuple(holds))

    def _checksums(self, event: FeatureEvent, revision: int) -> dict[str, str]:
        """Return the checksum of the document that each region of the current phase must receive."""
        trigger = event.feature.trigger
        assert trigger
        wanted = {
            _Projection(event.feature.key, revision, event.time_ms, region.name, region_revision): region
            for region, region_revision in self._regions.of_phase(trigger.current_run.phase)
        }
        new = {
            projection: region for projection, region in wanted.items() if projection not in self._expected
        }
        documents = project_each(event, revision, new.values())
        checksums = {id(document): checksum(document) for document in documents.values() if document}
        known = {projection: self._expected[projection] for projection in wanted.keys() - new.keys()}
        for projection in new:
            known[projection] = checksums.get(id(documents[projection.region]), NOTHING)
            self._expected[projection] = known[projection]
        return {projection.region: digest for projection, digest in known.items()}


def _hold(region: str, event: FeatureEvent, *, is_readable: bool) -> str:
    """Return why a region holds the phase. The text does not change meanwhile."""
    if not is_readable:
        return f"region {region}: the published rules cannot be read"
    return f"region {region}: the rules are not published yet{_since(event.feature.trigger)}"


def _since(trigger: Trigger | None) -> str:
    started_ms = trigger.current_run.started_ms if trigger else None
    return f" (since {envelope.rfc3339(started_ms)})" if started_ms is not None else ""
