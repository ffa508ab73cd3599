"""Which regions change when a feature does, written with compare-and-set."""

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
from sluiceway.pipelines.publish_checks import document_errors, feature_errors_now
from sluiceway.pipelines.references import feature_references

from . import metrics

log = logging.getLogger(__name__)

RETRY_FIRST_SECONDS = 0.05
RETRY_MAX_SECONDS = 2.0
#: After so many features of a long list, whatever is new comes first again.
CATCH_UP_BATCH = 20


#: Feature → the regions to look at; None: all of them.
PendingFeatures = OrderedDict[FeatureKey, frozenset[str] | None]


class ProjectedRules(NamedTuple):
    """What regions of one kind receive; `data` is None where that is nothing."""

    checksum: str
    data: bytes | None


class FanOut:
    """Brings RULES to what the newest events say. New events go before what is merely checked."""

    def __init__(self, features: FeatureView, catalogue: CatalogueView, rules: RuleStore) -> None:
        self._features = features
        self._catalogue = catalogue
        self._rules = rules
        self._urgent: PendingFeatures = OrderedDict()
        self._to_check: PendingFeatures = OrderedDict()
        self._to_clear: set[str] = set()
        self._awake = asyncio.Event()

    def note(self, entry: FeatureEntry) -> None:
        """Take a new event."""
        self._urgent[entry.key] = None
        self._awake.set()

    def note_catalogue(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Take a region that was added or changed: every feature is checked there; or deleted: cleared."""
        if kind != "region":
            return
        if stored is None:
            self._to_clear.add(id_)
        else:
            self._to_clear.discard(id_)
            for entry in self._features:
                known = self._to_check.get(entry.key, frozenset())
                self._to_check[entry.key] = None if known is None else known | {id_}
        self._awake.set()

    def note_foreign(self, place: RuleKey) -> None:
        """Take a place that somebody else wrote to: it is put right."""
        self._to_check[place.key] = None
        self._awake.set()

    def check_all(self) -> None:
        """Check every feature in every region, as after a start."""
        for entry in self._features:
            self._to_check[entry.key] = None
        self._awake.set()

    @property
    def is_idle(self) -> bool:
        """Whether all that was heard is written."""
        return not (self._urgent or self._to_check or self._to_clear)

    async def run(self) -> None:
        """Write until cancelled; while the broker is away, wait for it."""
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS)
        while True:
            await self._awake.wait()
            self._awake.clear()
            try:
                await self._work_off()
                backoff.reset()
            except Unavailable as error:
                log.warning("cannot publish rules, trying again: %s", error)
                self._awake.set()
                await asyncio.sleep(backoff.next_seconds())

    async def _work_off(self) -> None:
        while not self.is_idle:
            await self._each(self._urgent)
            await self._each(self._to_check, most=CATCH_UP_BATCH)
            for region in tuple(self._to_clear):
                await self._write(self._deletions(region))
                self._to_clear.discard(region)

    async def _each(self, work: PendingFeatures, most: int | None = None) -> None:
        while work and most != 0:
            key, regions = next(iter(work.items()))
            sequence = await self._bring_up_to_date(key, regions)
            entry = self._features.get(key)
            if work.get(key) == regions and (entry is None or entry.sequence == sequence):
                work.pop(key, None)
            most = None if most is None else most - 1

    async def _bring_up_to_date(self, key: FeatureKey, regions: frozenset[str] | None) -> int:
        """Write what a feature's newest event says about these regions; return that event's sequence."""
        entry = self._features.get(key)
        if entry is None:
            return 0
        try:
            event = entry.event
            writes = list(self._writes(event, entry.sequence, regions))
            self._check_references(event)
        except Rejected as error:
            log.error("%s is left as it is in every region: %s", key, error)
            metrics.RULES_REFUSED.inc()
            return entry.sequence
        if await self._write(writes):
            metrics.FAN_OUT_SECONDS.observe(max(0, now_ms() - event.time_ms) / 1_000)
        return entry.sequence

    def _check_references(self, event: FeatureEvent) -> None:
        """Raise `Rejected` where two changes at once made a circle, which each alone was not."""
        if feature_references(event.feature) and (
            faults := feature_errors_now(event.feature, self._features.references())
        ):
            raise Rejected(f"it would harm whoever evaluates it: {'; '.join(faults)}")

    async def _write(self, writes: Iterable[RuleWrite]) -> bool:
        """Write until nothing is due any more; say whether anything was."""
        due = [write for write in writes if self._rules.is_due(write)]
        left = due
        while left:
            overtaken = await self._rules.write(left)
            for write in set(left) - set(overtaken):
                action = "deleted" if write.data is None else "published"
                metrics.RULE_DOCUMENTS.labels(write.place.region, action).inc()
            if overtaken:
                await self._rules.reached_end()
            left = [write for write in overtaken if self._rules.is_due(write)]
        return bool(due)

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
            text, data = rules_of_kind[kind]
            yield RuleWrite(
                RuleKey(region.name, event.feature.key),
                RuleVersion(revision, region_revision),
                text,
                event.time_ms,
                data,
            )

    def _deletions(self, region: str) -> Iterator[RuleWrite]:
        """Return the writes that clear a deleted region."""
        deleted_at = self._catalogue.tail("region", region)
        for place in self._rules.places_in(region):
            held = self._rules.held(place)
            yield RuleWrite(place, RuleVersion(held.version.revision, deleted_at), NOTHING, now_ms(), None)

    def _regions(self) -> Iterator[tuple[Region, int]]:
        for stored in self._catalogue.all("region"):
            assert isinstance(stored.document, Region)
            yield stored.document, stored.revision


def _rules(event: FeatureEvent, revision: int, region: Region) -> ProjectedRules:
    document = project(event, revision, segments.Location.of(region))
    if document and (faults := document_errors(document)):
        raise Rejected(f"it would harm whoever evaluates it: {'; '.join(faults)}")
    return (
        ProjectedRules(checksum(document), document.to_json()) if document else ProjectedRules(NOTHING, None)
    )
