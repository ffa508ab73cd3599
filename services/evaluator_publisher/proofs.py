"""What of RULES is proved to be what the features project to, for the next checkpoint."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import RuleKey
from sluiceway.messaging.rule_writes import RuleWrite
from sluiceway.repeated_logs import RepeatedLogs

from .checkpoints import Checkpoints
from .publishable_rules import Outdated, PublishableRules
from .rule_writer import RuleWriter

log = logging.getLogger(__name__)


class Proofs:
    """Compares what other publishers have written, and writes checkpoints: both only if nothing is to do."""

    def __init__(
        self,
        features: FeatureView,
        rules: RuleStore,
        publishable: PublishableRules,
        writer: RuleWriter,
        checkpoints: Checkpoints,
        is_idle: Callable[[], bool],
    ) -> None:
        """`is_idle`: whether everything is published."""
        self._features = features
        self._rules = rules
        self._publishable = publishable
        self._writer = writer
        self._checkpoints = checkpoints
        self._is_idle = is_idle
        #: Features of which another publisher has written documents since they were checked here.
        self._written: set[FeatureKey] = set()
        #: Features of which RULES does not hold what they project to here, or that cannot be projected.
        self._unproved: set[FeatureKey] = set()
        self.wants_checkpoint = False
        self._repeated = RepeatedLogs(log)

    def rules_written(self, key: RuleKey) -> None:
        """Take note that another publisher has written: what it wrote is proved once it is checked here.

        A feature that the log does not hold yet is checked when it comes.
        """
        if self._features.get(key.feature):
            self._written.add(key.feature)

    def compare_again(self) -> None:
        """Compare again what differed: another publisher may only have read the change before this one."""
        self._written |= self._unproved
        self._unproved.clear()

    def refuse(self, key: FeatureKey) -> None:
        """Take note that a feature cannot be projected."""
        self._unproved.add(key)

    def prove(self, key: FeatureKey, writes: Iterable[RuleWrite]) -> None:
        """Take note that RULES holds what a feature writes in all regions, also by another publisher."""
        is_listed = key in self._unproved or key in self._written
        if is_listed and not any(map(self._rules.differs, writes)):
            self._unproved.discard(key)
            self._written.discard(key)

    async def prove_written(self) -> None:
        """Compare what others have written, if it is time for a checkpoint; new events come before it.

        What differs is left as it is: another version of the code may be publishing as well.
        """
        while self.wants_checkpoint and self._is_idle() and self._written:
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
            return not any(map(self._rules.differs, await self._writer.writes(entry, None)))
        except (Rejected, Outdated):  # which was said when it was to be published, or is published now
            return False

    async def save_checkpoint(self) -> None:
        """Write a checkpoint if it is time, and if nothing is left to publish.

        It never asks the broker for the end of a stream: an event would wait for the answer.
        """
        if not (self.wants_checkpoint and self._is_idle() and self._rules.has_read_own_writes):
            return
        self.wants_checkpoint = False
        try:
            await self._checkpoints.save(self._unproved.union(self._written, self._publishable.substituted))
        except Unavailable as error:
            log.info("no checkpoint is written now: %s", error)
        except Rejected as error:  # the next start checks more; RULES is right anyway
            self._repeated.warning("checkpoint", "no checkpoint can be written: %s", error)
