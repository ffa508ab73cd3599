"""Deletes the rules of features that the log does not hold, and of regions that were deleted."""

import asyncio
import logging

from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import RuleKey, RuleVersion

from .grouped_regions import RegionGroup
from .publishable_rules import Outdated
from .rule_writer import RuleWriter

log = logging.getLogger(__name__)

#: Documents that are looked at in a row.
LOOK_SLICE = 2_000


class RuleDeletions:
    """Finds what neither log nor catalogue holds any more, and deletes it."""

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        rules: RuleStore,
        writer: RuleWriter,
        group: RegionGroup,
    ) -> None:
        self._features = features
        self._catalogue = catalogue
        self._rules = rules
        self._writer = writer
        self._group = group
        #: Deleted regions whose rules are still to be deleted.
        self.regions: set[str] = set()

    async def delete_unknown_rules(self) -> None:
        """Delete the rules of features that the log does not hold, and of regions that were deleted.

        What neither says is left alone: an empty log or catalogue deletes nothing. Raises `Outdated` if
        everything has to be checked again.
        """
        known = {region.name: revision for region, revision in self._group.regions()}
        held = filter(self._group.__contains__, self._rules.regions_with_rules())
        for region in sorted(set(held) - known.keys()):
            if self._catalogue.last_sequence("region", region):
                self.regions.add(region)
            else:
                log.error("keeping the rules of the region %s, which the catalogue does not know", region)
        unknown: list[RuleKey] = []
        for number, key in enumerate(self._rules.keys_with_rules()):
            if key.region in known and self._features.get(key.feature) is None:
                unknown.append(key)
            if number % LOOK_SLICE == 0:
                await asyncio.sleep(0)
        if unknown and not self._features.position.sequence:
            log.error("keeping all %s rule documents in RULES, although the log is empty", len(unknown))
            return
        await self._writer.write(
            [self._writer.deletion(key, RuleVersion(0, known[key.region])) for key in unknown]
        )
        for key in unknown:  # only now is that proved: until then this replica may have been behind
            log.warning("%s: deleted its rules in %s: the log does not hold it", key.feature, key.region)

    async def delete_regions(self) -> None:
        """Delete the rules of deleted regions, and the marks of their sets."""
        for region in tuple(self.regions):
            await self._delete_region(region)

    async def _delete_region(self, region: str) -> None:
        deleted_at = self._catalogue.last_sequence("region", region)
        deletions = []
        for key in self._rules.keys_with_rules(region):
            revision, region_revision = self._rules.published(key).version
            version = RuleVersion(revision, max(region_revision, deleted_at))
            deletions.append(self._writer.deletion(key, version))
        try:
            await self._writer.write(deletions)
        except Outdated:  # another replica has written there; look again
            return
        await self._rules.delete_mark(region)
        self.regions.discard(region)
