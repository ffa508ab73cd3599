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
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView, StoredDocument
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.publishing import NoStream
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import RuleKey
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.tasks import run_together

from . import metrics
from .checkpoints import Checkpoints
from .grouped_regions import RegionGroup
from .proofs import Proofs
from .publishable_rules import Outdated, PublishableRules
from .region_marks import RegionMarks
from .rule_deletions import RuleDeletions
from .rule_writer import RuleWriter

log = logging.getLogger(__name__)

RETRY_FIRST_SECONDS = 0.05
RETRY_MAX_SECONDS = 2.0
#: RULES is compared with what was read of it this often: nobody tells followers of a purge.
LOOK_FOR_REMOVALS_SECONDS = 2.0
#: Features that are checked in a row, before new events come first again.
CHECK_BATCH = 20
#: A checkpoint is written this often, if anything has changed: at a start, what is newer is checked.
CHECKPOINT_EVERY_SECONDS = 10.0
#: Features in a row of which no stream stores anything that has to be written: after so many, all wait.
UNHEARD_MAX = 20
#: Features that are put on the list in a row.
LIST_SLICE = 2_000


#: Feature → the regions to check; None means all.
PendingFeatures = OrderedDict[FeatureKey, frozenset[str] | None]


class FanOut:
    """Makes a stream of RULES match the newest events, in the regions of its group.

    New events go first, before what is only checked.
    """

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        rules: RuleStore,
        publishable: PublishableRules,
        clock: Clock,
        checkpoints: Checkpoints,
        group: RegionGroup,
    ) -> None:
        self._features = features
        self._catalogue = catalogue
        self._publishable = publishable
        self._clock = clock
        self._rules = rules
        self._checkpoints = checkpoints
        self._group = group
        self._writer = RuleWriter(features, catalogue, rules, publishable, clock, group)
        self._deletions = RuleDeletions(features, catalogue, rules, self._writer, group)
        self._marks = RegionMarks(features, rules, group)
        self._proofs = Proofs(features, rules, publishable, self._writer, checkpoints, lambda: self.is_idle)
        self._urgent: PendingFeatures = OrderedDict()
        self._to_check: PendingFeatures = OrderedDict()
        #: What could not be written because a region has no place in the stream yet.
        self._postponed: PendingFeatures = OrderedDict()
        self._unheard = 0
        #: What comes after that, if everything is to be checked.
        self._rest: Iterator[FeatureEntry] | None = None
        #: Regions in which every feature is still to be put on the list.
        self._regions_to_check: set[str] = set()
        #: Whether everything has to be checked, in a new epoch; and if so, whether a checkpoint may prove it.
        self._must_check_all = False
        self._may_be_proved = False
        self._must_renew_marks = False
        self._has_work = asyncio.Event()
        self._repeated = RepeatedLogs(log)

    def feature_changed(self, entry: FeatureEntry) -> None:
        """Publish a new event in every region; check what could not be published before it."""
        self._urgent[entry.key] = None
        self.check(self._publishable.substituted)
        if self._marks.say_empty:
            self.check_all()

    def catalogue_changed(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Check every feature in a region that was added or changed; delete the rules of a deleted one."""
        if kind != "region" or id_ not in self._group:
            return
        self._proofs.compare_again()
        if stored is None:
            self._deletions.regions.add(id_)
        else:
            self._deletions.regions.discard(id_)
            self._marks.add(id_)
            self._regions_to_check.add(id_)
        self._has_work.set()

    def rules_overwritten(self, key: RuleKey) -> None:
        """Check a feature whose rules were overwritten by something other than a publisher."""
        self.check([key.feature])

    def rules_written(self, key: RuleKey) -> None:
        """Take note that another publisher has written."""
        self._proofs.rules_written(key)

    def check(self, keys: Iterable[FeatureKey]) -> None:
        """Check these features in every region."""
        for key in keys:
            self._to_check[key] = None
        self._has_work.set()

    def check_all(self) -> None:
        """Check every feature in every region of the group, as after a stream has gone back."""
        self._proofs.compare_again()
        self._must_check_all = True
        self._may_be_proved = False
        self._has_work.set()

    def check_unproved(self) -> None:
        """Check what no checkpoint proves, at a start."""
        self._must_check_all = True
        self._may_be_proved = True
        self._has_work.set()

    def mark_again(self, region: str) -> None:
        """Mark a region's set again, whose mark was overwritten or deleted by something else."""
        self._marks.add(region)
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
        must_check = self._has_features_to_check or self._must_check_all
        return not (
            self._urgent or must_check or self._postponed or self._deletions.regions or self._marks.missing
        )

    @property
    def _has_features_to_check(self) -> bool:
        return bool(self._to_check or self._regions_to_check or self._rest)

    async def run(self) -> None:
        """Publish until cancelled what no checkpoint proves, and then each change."""
        self.check_unproved()
        await run_together(self.publish(), self.watch_for_removals(), self.save_checkpoints())

    async def publish(self) -> None:
        """Publish until cancelled; try again while the broker is not available."""
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS)
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self._read_to_the_end()
                await self._publish_all()
                await self._proofs.prove_written()
                await self._proofs.save_checkpoint()
                backoff.reset()
            except Unavailable as error:
                self._repeated.warning(
                    "publish", "cannot publish rules to %s, trying again: %s", self._rules.stream, error
                )
                self._check_postponed()
                self._has_work.set()
                await asyncio.sleep(backoff.next_seconds())

    async def save_checkpoints(self) -> None:
        """Write down what is proved, from time to time, until cancelled."""
        while True:
            self._proofs.wants_checkpoint = True
            self._has_work.set()
            await asyncio.sleep(CHECKPOINT_EVERY_SECONDS)

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
        self._marks.add_all()
        self._must_renew_marks = False
        if self._must_check_all:
            self._must_check_all = False
            try:
                await self._list_unproved()
                await self._deletions.delete_unknown_rules()
            except Outdated:
                self.check_all()
            except Unavailable:
                self._must_check_all = True
                raise

    async def _list_unproved(self) -> None:
        """Put on the list what has to be checked after a start, or after a stream has gone back."""
        self._checkpoints.begin()
        if not self._group.regions():
            return
        unproved = await self._checkpoints.unproved() if self._may_be_proved else None
        if unproved:
            self._to_check.update(dict.fromkeys(unproved.features, None))
            self._regions_to_check |= unproved.regions
        else:
            self._rest = iter(self._features)

    def _list_rest(self) -> None:
        """Put the next features on the list, if everything is to be checked: many streams list them all."""
        while self._rest and len(self._to_check) < CHECK_BATCH:
            if entry := next(self._rest, None):
                self._to_check[entry.key] = None
            else:
                self._rest = None

    async def _list_regions(self) -> None:
        """Put every feature on the list, in the regions that were added or changed."""
        regions, self._regions_to_check = frozenset(self._regions_to_check), set()
        for number, entry in enumerate(self._features if regions else ()):
            known = self._to_check.get(entry.key, frozenset())
            self._to_check[entry.key] = None if known is None else known | regions
            if number % LIST_SLICE == 0:
                await asyncio.sleep(0)

    async def _publish_all(self) -> None:
        while not (self.is_idle or self._must_check_all):
            await self._publish_pending(self._urgent)
            await self._list_regions()
            self._list_rest()
            await self._publish_pending(self._to_check, limit=CHECK_BATCH)
            await self._deletions.delete_regions()
            if not (self._has_features_to_check or self._urgent):
                if self._postponed:
                    raise Unavailable(
                        f"no stream stores the rules of a region of {len(self._postponed)} features yet"
                    )
                await self._marks.write()

    async def _publish_pending(self, pending: PendingFeatures, limit: int | None = None) -> None:
        while pending and limit != 0:
            # Taken off the list first, so that it stays on the list if it is to be checked again meanwhile.
            key, regions = pending.popitem(last=False)
            try:
                await self._publish(key, regions)
                self._unheard = 0
            except NoStream as error:  # of a new region: the others of the group do not wait for its place
                _put_back(self._postponed, key, regions)
                self._unheard = 0 if error.is_partial else self._unheard + 1
                if self._unheard >= UNHEARD_MAX:
                    raise
            except Unavailable:  # which may concern this feature alone, so the others come before it
                _put_back(pending, key, regions)
                raise
            limit = None if limit is None else limit - 1
            await asyncio.sleep(0)  # if nothing differed, nothing else has given way to the loop

    def _check_postponed(self) -> None:
        """Put on the list again what could not be written, after what is there."""
        self._unheard = 0
        while self._postponed:
            _put_back(self._to_check, *self._postponed.popitem(last=False))

    async def _publish(self, key: FeatureKey, regions: frozenset[str] | None) -> None:
        """Publish a feature's newest event in these regions."""
        while (entry := self._features.get(key)) is not None:
            try:
                writes = await self._writer.writes(entry, regions)
                if await self._writer.write(writes):
                    metrics.FAN_OUT_SECONDS.observe(max(0, self._clock() - entry.event.time_ms) / 1_000)
            except Outdated:
                continue
            except Rejected as error:
                self._proofs.refuse(key)
                log.error("%s: keeping the previous rules in every region: %s", key, error)
                metrics.RULES_REFUSED.inc()
                return
            if regions is None:
                self._proofs.prove(key, writes)
            return


def _put_back(pending: PendingFeatures, key: FeatureKey, regions: frozenset[str] | None) -> None:
    """Put a feature at the end of a list, in these regions and those in which it is there already."""
    known = pending.pop(key, frozenset())
    pending[key] = None if known is None or regions is None else known | regions
