"""The regions of the catalogue, by the group whose stream holds their rules."""

from collections.abc import Sequence
from typing import NamedTuple

from sluiceway.contracts.catalogue import Region
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.pipelines.decision import Catalogue


class StoredRegion(NamedTuple):
    """A region, and the revision of its document."""

    region: Region
    revision: int


class GroupedRegions:
    """Looks at all regions once for each change of the catalogue, however many groups there are."""

    def __init__(self, catalogue: CatalogueView, streams: RulesStreams) -> None:
        self.streams = streams
        self._catalogue = catalogue
        self._grouped: Sequence[Sequence[StoredRegion]] = ()
        #: Which state of the catalogue that was.
        self._grouped_from: Catalogue | None = None

    def of(self, group: int) -> Sequence[StoredRegion]:
        """Return the regions of a group."""
        catalogue = self._catalogue.catalogue()
        if self._grouped_from is not catalogue:
            self._grouped, self._grouped_from = self._group(), catalogue
        return self._grouped[group]

    def _group(self) -> Sequence[Sequence[StoredRegion]]:
        grouped: list[list[StoredRegion]] = [[] for _ in range(self.streams.groups)]
        for stored in self._catalogue.all("region"):
            assert isinstance(stored.document, Region)
            group = self.streams.group_of(stored.document.name)
            grouped[group].append(StoredRegion(stored.document, stored.revision))
        return grouped


class RegionGroup:
    """One of the groups."""

    def __init__(self, regions: GroupedRegions, group: int) -> None:
        self.number = group
        self.streams = regions.streams
        self._regions = regions

    def regions(self) -> Sequence[StoredRegion]:
        """Return the regions of this group."""
        return self._regions.of(self.number)

    def __contains__(self, region: str) -> bool:
        return self.streams.group_of(region) == self.number
