"""The regions that a phase covers, found once for all releases through the same pipeline."""

from typing import NamedTuple

from cachetools import LRUCache

from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.pipeline import Phase
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.pipelines.decision import Catalogue
from sluiceway.pipelines.segments import Extent, Location, coverage

#: Phases whose regions are remembered.
PHASES_MAX = 1_000


class RegionOfPhase(NamedTuple):
    """A region of which a phase covers a part, and its sequence in CATALOG."""

    region: Region
    revision: int


class _KnownPhase(NamedTuple):
    #: Kept, so that no other phase has its `id`.
    phase: Phase
    regions: tuple[RegionOfPhase, ...]


class CoveredRegions:
    """Finds the regions of phases; what was found counts until the catalogue changes."""

    def __init__(self, catalogue: CatalogueView) -> None:
        self._catalogue = catalogue
        self._known_catalogue: Catalogue | None = None
        #: By the rules of a phase as JSON: in Python, 1 is equal to true.
        self._known: LRUCache[bytes, tuple[RegionOfPhase, ...]] = LRUCache(PHASES_MAX)
        #: By the `id` of a phase, which releases through the same pipeline share in memory.
        self._known_phases: LRUCache[int, _KnownPhase] = LRUCache(PHASES_MAX)

    def of_phase(self, phase: Phase) -> tuple[RegionOfPhase, ...]:
        """Return the regions of which a phase covers a part."""
        catalogue = self._catalogue.catalogue()  # the same object until something changes
        if catalogue is not self._known_catalogue:
            self._known.clear()
            self._known_phases.clear()
            self._known_catalogue = catalogue
        known = self._known_phases.get(id(phase))
        if known is None or known.phase is not phase:
            known = self._known_phases[id(phase)] = _KnownPhase(phase, self._by_rules(phase))
        return known.regions

    def _by_rules(self, phase: Phase) -> tuple[RegionOfPhase, ...]:
        rules = b"".join(rule.to_json() for rule in phase.rules)
        found = self._known.get(rules)
        if found is None:
            found = self._known[rules] = tuple(
                RegionOfPhase(stored.document, stored.revision)
                for stored in self._catalogue.all("region")
                if isinstance(stored.document, Region) and _covers(phase, stored.document)
            )
        return found


def _covers(phase: Phase, region: Region) -> bool:
    """Return whether a phase covers a part of a region."""
    return coverage((phase,), Location.of(region)).extent is not Extent.NONE
