"""Publishes the rules of each region that changes when a feature does, with compare-and-set."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sluiceway.backoff import Backoff
from sluiceway.clock import now_ms
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView, StoredDocument
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.rule_store import NOTHING, RuleKey, RuleStore, RuleVersion, RuleWrite
from sluiceway.pipelines import segments
from sluiceway.pipelines.projection import checksum, project, used_attributes
from sluiceway.pipelines.publish_checks import document_errors, publication_errors
from sluiceway.pipelines.references import feature_references

from . import metrics

log = logging.getLogger(__name__)

RETRY_FIRST_SECONDS = 0.05
RETRY_MAX_SECONDS = 2.0
#: Features that are checked in a row, before new events come first again.
CHECK_BATCH = 20


#: Feature → the regions to check; None means all.
PendingFeatures = OrderedDict[FeatureKey, frozenset[str] | None]


class ProjectedRules(NamedTuple):
    """What regions of one kind receive; `data` is None if they receive nothing."""

    checksum: str
    data: bytes | None


class FanOut:
    """Makes RULES match the newest events. New events go first, before what is only checked."""

    def __init__(self, features: FeatureView, catalogue: CatalogueView, rules: RuleStore) -> None:
        self._features = features
        self._catalogue = catalogue
        self._rules = rules
        self._urgent: PendingFeatures = OrderedDict()
        self._to_check: PendingFeatures = OrderedDict()
        self._deleted_regions: set[str] = set()
        self._has_work = asyncio.Event()

    def feature_changed(self, entry: FeatureEntry) -> None:
        """Publish a new event in every region."""
        self._urgent[entry.key] = None
        self._has_work.set()

    def catalogue_changed(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Check every feature in a region that was added or changed; delete the rules of a deleted one."""
        if kind != "region":
            return
        if stored is None:
            self._deleted_regions.add(id_)
        else:
            self._deleted_regions.discard(id_)
            for entry in self._features:
                known = self._to_check.get(entry.key, frozenset())
                self._to_check[entry.key] = None if known is None else known | {id_}
        self._has_work.set()

    def rules_overwritten(self, key: RuleKey) -> None:
        """Check a feature whose rules were overwritten by something other than a publisher."""
        self._to_check[key.feature] = None
        self._has_work.set()

    def check_all(self) -> None:
        """Check every feature in every region, as after a start."""
        for entry in self._features:
            self._to_check[entry.key] = None
        self._has_work.set()

    @property
    def is_idle(self) -> bool:
        """Whether everything is published."""
        return not (self._urgent or self._to_check or self._deleted_regions)

    async def run(self) -> None:
        """Publish until cancelled; try again while the broker is not available."""
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS)
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self._publish_all()
                backoff.reset()
            except Unavailable as error:
                log.warning("cannot publish rules, trying again: %s", error)
                self._has_work.set()
                await asyncio.sleep(backoff.next_seconds())

    async def _publish_all(self) -> None:
        while not self.is_idle:
            await self._publish_pending(self._urgent)
            await self._publish_pending(self._to_check, limit=CHECK_BATCH)
            for region in tuple(self._deleted_regions):
                await self._write(self._deletions(region))
                self._deleted_regions.discard(region)

    async def _publish_pending(self, pending: PendingFeatures, limit: int | None = None) -> None:
        while pending and limit != 0:
            key, regions = next(iter(pending.items()))
            sequence = await self._publish(key, regions)
            entry = self._features.get(key)
            if pending.get(key) == regions and (entry is None or entry.sequence == sequence):
                pending.pop(key, None)
            limit = None if limit is None else limit - 1

    async def _publish(self, key: FeatureKey, regions: frozenset[str] | None) -> int:
        """Publish a feature's newest event in these regions; return the sequence of that event."""
        entry = self._features.get(key)
        if entry is None:
            return 0
        try:
            event = entry.event
            writes = list(self._writes(event, entry.sequence, regions))
            self._check_references(event)
        except Rejected as error:
            log.error("%s: keeping the previous rules in every region: %s", key, error)
            metrics.RULES_REFUSED.inc()
            return entry.sequence
        if await self._write(writes):
            metrics.FAN_OUT_SECONDS.observe(max(0, now_ms() - event.time_ms) / 1_000)
        return entry.sequence

    def _check_references(self, event: FeatureEvent) -> None:
        """Raise `Rejected` if two concurrent changes refer to each other in a cycle."""
        if feature_references(event.feature) and (
            errors := publication_errors(event.feature, self._features.references())
        ):
            raise Rejected(f"the rules would harm the SDKs: {'; '.join(errors)}")

    async def _write(self, writes: Iterable[RuleWrite]) -> bool:
        """Write until nothing more is needed; return whether anything was."""
        needed = [write for write in writes if self._rules.is_needed(write)]
        remaining = needed
        while remaining:
            conflicts = await self._rules.write(remaining)
            for write in set(remaining) - set(conflicts):
                action = "deleted" if write.data is None else "published"
                metrics.RULE_DOCUMENTS.labels(write.key.region, action).inc()
            if conflicts:
                await self._rules.catch_up()
            remaining = [write for write in conflicts if self._rules.is_needed(write)]
        return bool(needed)

    def _writes(
        self, event: FeatureEvent, revision: int, regions: frozenset[str] | None
    ) -> Iterator[RuleWrite]:
        fields = sorted(used_attributes(event.feature))
        rules_of_kind: dict[tuple[str, ...], ProjectedRules] = {}
        for region, region_revision in self._regions():
            if regions is not None and region.name not in regions:
                continue
            kind = (region.environment, *(repr(region.attributes.get(field)) for field in fields))
            if kind not in rules_of_kind:
                rules_of_kind[kind] = _rules(event, revision, region)
            digest, data = rules_of_kind[kind]
            yield RuleWrite(
                RuleKey(region.name, event.feature.key),
                RuleVersion(revision, region_revision),
                digest,
                event.time_ms,
                data,
            )

    def _deletions(self, region: str) -> Iterator[RuleWrite]:
        """Yield the writes that delete the rules of a deleted region."""
        deleted_at = self._catalogue.last_sequence("region", region)
        for key in self._rules.keys_with_rules(region):
            version = RuleVersion(self._rules.published(key).version.revision, deleted_at)
            yield RuleWrite(key, version, NOTHING, now_ms(), None)

    def _regions(self) -> Iterator[tuple[Region, int]]:
        for stored in self._catalogue.all("region"):
            assert isinstance(stored.document, Region)
            yield stored.document, stored.revision


def _rules(event: FeatureEvent, revision: int, region: Region) -> ProjectedRules:
    document = project(event, revision, segments.Location.of(region))
    if document and (errors := document_errors(document)):
        raise Rejected(f"the rules would harm the SDKs: {'; '.join(errors)}")
    return (
        ProjectedRules(checksum(document), document.to_json()) if document else ProjectedRules(NOTHING, None)
    )
