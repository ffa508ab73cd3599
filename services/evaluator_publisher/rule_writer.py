"""Writes the documents of features to RULES with compare-and-set, never over a newer one."""

import logging
from collections.abc import Iterable, Sequence

from sluiceway.clock import Clock
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import NOTHING, PublishedRule, RuleKey, RuleVersion
from sluiceway.messaging.rule_writes import RuleWrite

from . import metrics
from .grouped_regions import RegionGroup, StoredRegion
from .lost_revisions import LostRevisions
from .publishable_rules import Outdated, PublishableRules

log = logging.getLogger(__name__)


class RuleWriter:
    """Makes writes of what features project to in a group of regions, and does them."""

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        rules: RuleStore,
        publishable: PublishableRules,
        clock: Clock,
        group: RegionGroup,
    ) -> None:
        self._features = features
        self._catalogue = catalogue
        self._rules = rules
        self._publishable = publishable
        self._clock = clock
        self._group = group
        self._lost_events = LostRevisions(features, rules)
        self._lost_regions = LostRevisions(catalogue, rules)

    async def write(self, writes: Iterable[RuleWrite]) -> bool:
        """Write what differs from RULES; return whether anything did.

        Raises `Outdated` if the rules have to be projected again.
        """
        needed = [write for write in writes if self._rules.differs(write)]
        if newer := self._newer(needed):
            await self._prove_lost(newer)
            if self._newer(needed) != newer:  # another replica has written meanwhile
                raise Outdated
        conflicts = await self._rules.write(needed)
        for write in _without(needed, conflicts):
            action = "deleted" if write.data is None else "published"
            metrics.rule_document_counter(write.key.region, action).inc()
        if any(self._rules.differs(write) for write in conflicts):
            raise Outdated
        return bool(needed)

    def _newer(self, writes: Iterable[RuleWrite]) -> list[tuple[RuleWrite, PublishedRule]]:
        """Return the writes whose version is older than what RULES holds, each with that."""
        return [(write, self._rules.published(write.key)) for write in writes if self._rules.is_newer(write)]

    async def _prove_lost(self, newer: Iterable[tuple[RuleWrite, PublishedRule]]) -> None:
        """Return if what RULES holds comes from a history that is lost, although its version is newer.

        A version that the log or the catalogue still does not hold, when they are read to their end
        afterwards, is lost. Otherwise another replica was faster: raises `Outdated`.
        """
        versions = {published.sequence: published.version for _, published in newer}
        await self._lost_events.read_past({at: version.revision for at, version in versions.items()})
        await self._lost_regions.read_past({at: version.region_revision for at, version in versions.items()})
        for write, published in newer:
            entry = self._features.get(write.key.feature)
            region = self._catalogue.get("region", write.key.region)
            newest = RuleVersion(entry.sequence if entry else 0, region.revision if region else 0)
            if newest != write.version:
                raise Outdated
            log.warning("%s: replacing rules of a lost history: %s", write.key, published.version)
            if published.epoch >= write.epoch:
                self._rules.begin_epoch(self._clock())
                raise Outdated

    async def writes(self, entry: FeatureEntry, regions: frozenset[str] | None) -> list[RuleWrite]:
        """Return what a feature's event writes in these regions; None means all of the group."""
        chosen: Sequence[StoredRegion] = self._group.regions()
        if regions is not None:
            chosen = [stored for stored in chosen if stored.region.name in regions]
        if not chosen:
            return []
        epoch = self._rules.epoch
        rules = await self._publishable.of(entry, [stored.region for stored in chosen], epoch)
        event_time_ms = entry.event.time_ms
        return [
            RuleWrite(
                RuleKey(region.name, entry.key),
                epoch,
                RuleVersion(entry.sequence, region_revision),
                rules[region.name].checksum,
                event_time_ms,
                rules[region.name].data,
            )
            for region, region_revision in chosen
        ]

    def deletion(self, key: RuleKey, version: RuleVersion) -> RuleWrite:
        """Return what deletes the rules of a key."""
        return RuleWrite(key, self._rules.epoch, version, NOTHING, self._clock(), None)


def _without(writes: list[RuleWrite], left_out: list[RuleWrite]) -> Iterable[RuleWrite]:
    """Return the other writes; to compare them is to hash whole documents."""
    return set(writes).difference(left_out) if left_out else writes
