"""Publishes the rules of each region that changes when a feature does, with compare-and-set.

RULES is derived: whatever it holds, it is made to match the log and the catalogue. After a start
everything is checked that no checkpoint proves, and whenever a stream has gone back, everything; both in a
new epoch. Then each region's set is marked as complete.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from sluiceway.backoff import Backoff
from sluiceway.clock import Clock
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView, StoredDocument
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.rule_store import RuleStore, RuleWrite
from sluiceway.messaging.rule_table import NOTHING, RuleKey, RuleVersion
from sluiceway.repeated_logs import RepeatedLogs

from . import metrics
from .checkpoints import Checkpoints
from .publishable_rules import PublishableRules

log = logging.getLogger(__name__)

RETRY_FIRST_SECONDS = 0.05
RETRY_MAX_SECONDS = 2.0
#: RULES is compared with what was read of it this often: nobody tells followers of a purge.
LOOK_FOR_REMOVALS_SECONDS = 2.0
#: Features that are checked in a row, before new events come first again.
CHECK_BATCH = 20
#: A checkpoint is written this often, if anything has changed: at a start, what is newer is checked.
CHECKPOINT_EVERY_SECONDS = 10.0
#: Features that are put on the list in a row.
LIST_SLICE = 2_000


#: Feature → the regions to check; None means all.
PendingFeatures = OrderedDict[FeatureKey, frozenset[str] | None]


class Outdated(Exception):
    """The log, the catalogue or RULES has changed since the rules were projected: project them again."""


class FanOut:
    """Makes RULES match the newest events. New events go first, before what is only checked."""

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        rules: RuleStore,
        publishable: PublishableRules,
        clock: Clock,
        checkpoints: Checkpoints,
    ) -> None:
        self._features = features
        self._catalogue = catalogue
        self._publishable = publishable
        self._clock = clock
        self._rules = rules
        self._checkpoints = checkpoints
        self._urgent: PendingFeatures = OrderedDict()
        self._to_check: PendingFeatures = OrderedDict()
        self._deleted_regions: set[str] = set()
        #: Regions in which every feature is still to be put on the list.
        self._regions_to_check: set[str] = set()
        #: Features of which another publisher has written documents since they were checked here.
        self._written: set[FeatureKey] = set()
        #: Features of which RULES does not hold what they project to here, or that cannot be projected.
        self._unproved: set[FeatureKey] = set()
        self._wants_checkpoint = False
        self._repeated = RepeatedLogs(log)
        #: Regions whose set is still to be marked as complete.
        self._unmarked: set[str] = set()
        #: Whether everything has to be checked, in a new epoch; and if so, whether a checkpoint may prove it.
        self._must_check_all = False
        self._may_be_proved = False
        self._must_renew_marks = False
        #: Whether the marks say that the log is empty.
        self._is_marked_empty = False
        self._has_work = asyncio.Event()

    def feature_changed(self, entry: FeatureEntry) -> None:
        """Publish a new event in every region; check what could not be published before it."""
        self._urgent[entry.key] = None
        self.check(self._publishable.substituted)
        if self._is_marked_empty:
            self.check_all()

    def catalogue_changed(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Check every feature in a region that was added or changed; delete the rules of a deleted one."""
        if kind != "region":
            return
        self._compare_again()
        if stored is None:
            self._deleted_regions.add(id_)
        else:
            self._deleted_regions.discard(id_)
            self._unmarked.add(id_)
            self._regions_to_check.add(id_)
        self._has_work.set()

    def rules_overwritten(self, key: RuleKey) -> None:
        """Check a feature whose rules were overwritten by something other than a publisher."""
        self.check([key.feature])

    def rules_written(self, key: RuleKey) -> None:
        """Take note that another publisher has written: what it wrote is proved once it is checked here.

        A feature that the log does not hold yet is checked when it comes.
        """
        if self._features.get(key.feature):
            self._written.add(key.feature)

    def check(self, keys: Iterable[FeatureKey]) -> None:
        """Check these features in every region."""
        for key in keys:
            self._to_check[key] = None
        self._has_work.set()

    def check_all(self) -> None:
        """Check every feature in every region, as after a stream has gone back."""
        self._publishable.forget()
        self._compare_again()
        self._must_check_all = True
        self._may_be_proved = False
        self._has_work.set()

    def check_unproved(self) -> None:
        """Check what no checkpoint proves, at a start."""
        self._must_check_all = True
        self._may_be_proved = True
        self._has_work.set()

    def _compare_again(self) -> None:
        """Compare again what differed: another publisher may only have read the change before this one."""
        self._written |= self._unproved
        self._unproved.clear()

    def mark_again(self, region: str) -> None:
        """Mark a region's set again, whose mark was overwritten or deleted by something else."""
        self._unmarked.add(region)
        self._has_work.set()

    def read_marks(self) -> None:
        """Read the marks of an older version, which runs beside this one or has run before it."""
        self._has_work.set()

    def renew_marks(self) -> None:
        """Mark every region's set again: the broker may have lost what a region has already received."""
        self._must_renew_marks = True
        self._has_work.set()

    @property
    def is_idle(self) -> bool:
        """Whether everything is published."""
        to_check = self._to_check or self._regions_to_check or self._must_check_all
        return not (self._urgent or to_check or self._deleted_regions or self._unmarked)

    async def run(self) -> None:
        """Publish until cancelled; try again while the broker is not available."""
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS)
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self._read_to_the_end()
                await self._publish_all()
                await self._prove_written()
                await self._save_checkpoint()
                backoff.reset()
            except Unavailable as error:
                log.warning("cannot publish rules, trying again: %s", error)
                self._has_work.set()
                await asyncio.sleep(backoff.next_seconds())

    async def save_checkpoints(self) -> None:
        """Write down what is proved, from time to time, until cancelled."""
        while True:
            self._wants_checkpoint = True
            self._has_work.set()
            await asyncio.sleep(CHECKPOINT_EVERY_SECONDS)

    async def _prove_written(self) -> None:
        """Compare what others have written, if it is time for a checkpoint; new events come before it.

        What differs is left as it is: another version of the code may be publishing as well.
        """
        while self._wants_checkpoint and self.is_idle and self._written:
            key = self._written.pop()
            try:
                is_proved = await self._is_proved(key)
            except Unavailable:
                self._written.add(key)
                raise
            if is_proved:
                self._unproved.discard(key)
            else:
                self._unproved.add(key)
            await asyncio.sleep(0)

    async def _is_proved(self, key: FeatureKey) -> bool:
        """Return whether RULES holds what a feature writes in all regions; True if there is none."""
        entry = self._features.get(key)
        if entry is None:
            return True
        if key in self._publishable.substituted:
            return False
        try:
            return not any(map(self._rules.differs, await self._writes(entry, None)))
        except Rejected:  # which was said when it was to be published
            return False

    async def _save_checkpoint(self) -> None:
        """Write a checkpoint if it is time, and if nothing is left to publish.

        It never asks the broker for the end of a stream: an event would wait for the answer.
        """
        if not (self._wants_checkpoint and self.is_idle and self._rules.has_read_own_writes):
            return
        self._wants_checkpoint = False
        try:
            await self._checkpoints.save(self._unproved.union(self._written, self._publishable.substituted))
        except Unavailable as error:
            log.info("no checkpoint is written now: %s", error)
        except Rejected as error:  # the next start checks more; RULES is right anyway
            self._repeated.warning("checkpoint", "no checkpoint can be written: %s", error)

    async def watch_for_removals(self) -> None:
        """Read RULES again if somebody has removed something from it, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_FOR_REMOVALS_SECONDS)
            try:
                if await self._rules.lacks_messages():
                    self._rules.follower.read_again("messages were removed from RULES")
            except Unavailable as error:
                log.info("%s", error)

    async def _read_to_the_end(self) -> None:
        """Wait until all views are whole: what is not read yet would look deleted."""
        views = (self._catalogue, self._rules, self._features)
        for view in views:
            await view.caught_up()
        await self._rules.read_marks()
        if not (self._must_check_all or self._must_renew_marks):
            return
        for view in views:
            await view.catch_up()
        self._rules.begin_epoch(self._clock())
        self._unmarked.update(region.name for region, _ in self._regions())
        self._must_renew_marks = False
        if self._must_check_all:
            self._must_check_all = False
            try:
                await self._list_unproved()
                await self._delete_unknown_rules()
            except Unavailable:
                self._must_check_all = True
                raise

    async def _list_unproved(self) -> None:
        """Put on the list what has to be checked after a start, or after a stream has gone back."""
        self._checkpoints.begin()
        unproved = await self._checkpoints.unproved() if self._may_be_proved else None
        if unproved:
            self._to_check.update(dict.fromkeys(unproved.features, None))
            self._regions_to_check |= unproved.regions
        else:
            self._to_check.update(dict.fromkeys((entry.key for entry in self._features), None))

    async def _list_regions(self) -> None:
        """Put every feature on the list, in the regions that were added or changed."""
        regions, self._regions_to_check = frozenset(self._regions_to_check), set()
        for number, entry in enumerate(self._features if regions else ()):
            known = self._to_check.get(entry.key, frozenset())
            self._to_check[entry.key] = None if known is None else known | regions
            if number % LIST_SLICE == 0:
                await asyncio.sleep(0)

    async def _delete_unknown_rules(self) -> None:
        """Delete the rules of features that the log does not hold, and of regions that were deleted.

        What neither says is left alone: an empty log or catalogue deletes nothing.
        """
        known = {region.name: revision for region, revision in self._regions()}
        for region in sorted(self._rules.regions_with_rules() - known.keys()):
            if self._catalogue.last_sequence("region", region):
                self._deleted_regions.add(region)
            else:
                log.error("keeping the rules of the region %s, which the catalogue does not know", region)
        unknown: list[RuleKey] = []
        for number, key in enumerate(self._rules.keys_with_rules()):
            if key.region in known and self._features.get(key.feature) is None:
                unknown.append(key)
            if number % LIST_SLICE == 0:
                await asyncio.sleep(0)
        if unknown and not self._features.position.sequence:
            log.error("keeping all %s rule documents in RULES, although the log is empty", len(unknown))
            return
        for key in unknown:
            log.warning("%s: deleting its rules in %s: the log does not hold it", key.feature, key.region)
        try:
            await self._write([self._deletion(key, RuleVersion(0, known[key.region])) for key in unknown])
        except Outdated:
            self.check_all()

    async def _publish_all(self) -> None:
        while not (self.is_idle or self._must_check_all):
            await self._publish_pending(self._urgent)
            await self._list_regions()
            await self._publish_pending(self._to_check, limit=CHECK_BATCH)
            for region in tuple(self._deleted_regions):
                await self._delete_region(region)
            if not (self._to_check or self._regions_to_check):
                await self._mark_complete()

    async def _mark_complete(self) -> None:
        """Mark the sets of regions in which everything was checked."""
        if missing := self._missing_marks():
            end = self._features.position.sequence
            self._is_marked_empty = end == 0
            await self._rules.mark_complete(sorted(missing), end)
        self._unmarked = self._missing_marks()

    def _missing_marks(self) -> set[str]:
        regions = {region.name for region, _ in self._regions()}
        return {region for region in self._unmarked & regions if not self._rules.is_marked(region)}

    async def _publish_pending(self, pending: PendingFeatures, limit: int | None = None) -> None:
        while pending and limit != 0:
            # Taken off the list first, so that it stays on the list if it is to be checked again meanwhile.
            key, regions = pending.popitem(last=False)
            try:
                await self._publish(key, regions)
            except Unavailable:  # which may concern this feature alone, so the others come before it
                known = pending.pop(key, frozenset())
                pending[key] = None if known is None or regions is None else known | regions
                raise
            limit = None if limit is None else limit - 1
            await asyncio.sleep(0)  # if nothing differed, nothing else has given way to the loop

    async def _publish(self, key: FeatureKey, regions: frozenset[str] | None) -> None:
        """Publish a feature's newest event in these regions."""
        while (entry := self._features.get(key)) is not None:
            try:
                writes = await self._writes(entry, regions)
            except Rejected as error:
                self._unproved.add(key)
                log.error("%s: keeping the previous rules in every region: %s", key, error)
                metrics.RULES_REFUSED.inc()
                return
            try:
                if await self._write(writes):
                    metrics.FAN_OUT_SECONDS.observe(max(0, self._clock() - entry.event.time_ms) / 1_000)
            except Outdated:
                continue
            if regions is None:
                self._prove(key, writes)
            return

    def _prove(self, key: FeatureKey, writes: Iterable[RuleWrite]) -> None:
        """Take note that RULES holds what a feature writes in all regions, also by another publisher."""
        is_listed = key in self._unproved or key in self._written
        if is_listed and not any(map(self._rules.differs, writes)):
            self._unproved.discard(key)
            self._written.discard(key)

    async def _write(self, writes: Iterable[RuleWrite]) -> bool:
        """Write what differs from RULES; return whether anything did.

        Raises `Outdated` if the rules have to be projected again.
        """
        needed = [write for write in writes if self._rules.differs(write)]
        if newer := [write for write in needed if self._rules.is_newer(write)]:
            await self._prove_lost(newer)
        conflicts = await self._rules.write(needed)
        for write in _without(needed, conflicts):
            action = "deleted" if write.data is None else "published"
            metrics.rule_document_counter(write.key.region, action).inc()
        if any(self._rules.differs(write) for write in conflicts):
            raise Outdated
        return bool(needed)

    async def _prove_lost(self, newer: Iterable[RuleWrite]) -> None:
        """Return if what RULES holds comes from a history that is lost, although its version is newer.

        A version that the log or the catalogue still does not hold, when they are read to their end
        afterwards, is lost. Otherwise another replica was faster: raises `Outdated`.
        """
        await self._features.catch_up()
        await self._catalogue.catch_up()
        for write in newer:
            entry = self._features.get(write.key.feature)
            region = self._catalogue.get("region", write.key.region)
            newest = RuleVersion(entry.sequence if entry else 0, region.revision if region else 0)
            if newest != write.version:
                raise Outdated
            published = self._rules.published(write.key)
            log.warning("%s: replacing rules of a lost history: %s", write.key, published.version)
            if published.epoch >= write.epoch:
                self._rules.begin_epoch(self._clock())
                raise Outdated

    async def _writes(self, entry: FeatureEntry, regions: frozenset[str] | None) -> list[RuleWrite]:
        """Return what a feature's event writes in these regions; None means all of them."""
        chosen = [
            (region, revision)
            for region, revision in self._regions()
            if regions is None or region.name in regions
        ]
        epoch, receivers = self._rules.epoch, [region for region, _ in chosen]
        rules = await self._publishable.of(entry, receivers, epoch, are_all=regions is None)
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

    async def _delete_region(self, region: str) -> None:
        """Delete the rules of a deleted region, and the mark of its set."""
        deleted_at = self._catalogue.last_sequence("region", region)
        deletions = []
        for key in self._rules.keys_with_rules(region):
            revision, region_revision = self._rules.published(key).version
            version = RuleVersion(revision, max(region_revision, deleted_at))
            deletions.append(self._deletion(key, version))
        try:
            await self._write(deletions)
        except Outdated:  # another replica has written there; look again
            return
        await self._rules.delete_mark(region)
        self._deleted_regions.discard(region)

    def _deletion(self, key: RuleKey, version: RuleVersion) -> RuleWrite:
        return RuleWrite(key, self._rules.epoch, version, NOTHING, self._clock(), None)

    def _regions(self) -> Iterator[tuple[Region, int]]:
        for stored in self._catalogue.all("region"):
            assert isinstance(stored.document, Region)
            yield stored.document, stored.revision


def _without(writes: list[RuleWrite], left_out: list[RuleWrite]) -> Iterable[RuleWrite]:
    """Return the other writes; to compare them is to hash whole documents."""
    return set(writes).difference(left_out) if left_out else writes
