"""What is proved to be published, at a start: a checkpoint in RULES says it, if nothing contradicts it.

It holds for the same code and limits, the same regions, and the same history of FEATURES and RULES. What
was written to either after it, and what it names itself, is checked again.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sluiceway.contracts.checkpoint import Checkpoint
from sluiceway.contracts.identifiers import FeatureKey, feature_key
from sluiceway.errors import Unavailable
from sluiceway.messaging.checkpoint_store import CheckpointStore, StoredCheckpoint
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.stream_records import Position

from .code_digest import code_digest
from .grouped_regions import RegionGroup

log = logging.getLogger(__name__)

#: Bytes of the features that a checkpoint may leave out; with more of them none is written.
UNPROVED_BYTES_MAX = 32_768
#: Bytes of the regions that a checkpoint lists; more share one digest, so that it fits into a message.
REGIONS_BYTES_MAX = 16_384
#: Instead of a region: the digest is of all of them. No region has such a name.
ALL_REGIONS = "*"
#: Bytes around each text in the list that a checkpoint holds.
QUOTES_BYTES = 3
#: Features that are looked at in a row.
SLICE = 5_000


class Unproved(NamedTuple):
    """What a checkpoint does not prove: these features everywhere, and all features in these regions."""

    features: frozenset[FeatureKey]
    regions: frozenset[str]


class Checkpoints:
    """Reads at a start what is proved, and stores what is proved now."""

    def __init__(
        self, store: CheckpointStore, features: FeatureView, rules: RuleStore, group: RegionGroup
    ) -> None:
        self._store = store
        self._features = features
        self._rules = rules
        self._group = group
        #: The code, the limits and the streams with which everything was checked; unknown before that.
        self._projection = ""
        self._saved: tuple[Position, int] | None = None

    def begin(self) -> None:
        """Take note of the limits that hold now: everything is checked with them, or was."""
        streams = self._group.streams.groups
        self._projection = f"{code_digest()} {self._rules.message_bytes_max} {self._group.number}/{streams}"
        self._saved = None

    async def unproved(self) -> Unproved | None:
        """Return what must be checked; None for everything, if nothing is proved."""
        try:
            stored = await self._store.read()
            objection = await self._objection(stored) if stored else "RULES holds no valid checkpoint"
        except Unavailable as error:
            objection = str(error)
        if objection or stored is None:
            log.info("checking all features: %s", objection)
            return None
        checkpoint = stored.checkpoint
        features = await self._changed(checkpoint)
        regions = {name for name, digest in self._digests().items() if checkpoint.regions.get(name) != digest}
        if ALL_REGIONS in regions:
            log.info("checking all features: some of many regions have changed")
            return None
        log.info(
            "checking %s features, and %s regions, since the last checkpoint", len(features), len(regions)
        )
        return Unproved(frozenset(features), frozenset(regions))

    async def save(self, unproved: Collection[FeatureKey]) -> None:
        """Store that everything is published as far as both streams were read, except for some features.

        Nothing may be left to publish, and our own documents must have been read. Raises `Unavailable`, and
        `MessageTooLarge`.
        """
        names = sorted(map(str, unproved))
        if _list_bytes(names) > UNPROVED_BYTES_MAX or not self._features.position.sequence:
            return
        state = (self._features.position, self._rules.newest_document)
        if state == self._saved:
            return
        if await self._store.write(self._checkpoint(names)):
            self._saved = state

    def _checkpoint(self, unproved: Sequence[str]) -> Checkpoint:
        log_end, rules_end = self._features.position, self._rules.position
        return Checkpoint(
            epoch=self._rules.epoch,
            projection=self._projection,
            log_created=log_end.created,
            log_sequence=log_end.sequence,
            log_time_ms=log_end.time_ms,
            rules_created=rules_end.created,
            rules_sequence=rules_end.sequence,
            documents=self._rules.documents,
            regions=self._digests(),
            unproved=tuple(unproved),
        )

    async def _objection(self, stored: StoredCheckpoint) -> str | None:
        """Return why a checkpoint proves nothing; None if it holds."""
        checkpoint, log_end, rules_end = stored.checkpoint, self._features.position, self._rules.position
        if checkpoint.projection != self._projection:
            return "other code has published the rules, or it had other limits or another number of streams"
        if checkpoint.log_created != log_end.created or checkpoint.rules_created != rules_end.created:
            return "a stream was recreated"
        if checkpoint.rules_sequence >= stored.sequence:
            return "RULES went back before it was written"
        if await self._store.event_time_ms(checkpoint.log_sequence) != checkpoint.log_time_ms:
            return "the log went back"
        if await self._rules.count_written_until(checkpoint.rules_sequence) != checkpoint.documents:
            return "documents were removed from RULES"
        return None

    async def _changed(self, checkpoint: Checkpoint) -> set[FeatureKey]:
        changed = await self._rules.written_after(checkpoint.rules_sequence)
        changed.update(map(feature_key, checkpoint.unproved))
        for number, entry in enumerate(self._features):
            if entry.sequence > checkpoint.log_sequence:
                changed.add(entry.key)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return changed

    def _digests(self) -> dict[str, str]:
        """Return a digest of each region of the group, or a single one of all if the list would be long."""
        digests = {
            region.name: _digest([region.environment, region.attributes])
            for region, _ in self._group.regions()
        }
        if _list_bytes([*digests, *digests.values()]) > REGIONS_BYTES_MAX:
            return {ALL_REGIONS: _digest(digests)}
        return digests


def _digest(value: object) -> str:
    """Return a digest of what a projection reads of a region, or of all regions."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _list_bytes(texts: Sequence[str]) -> int:
    """Return the bytes that these texts, which are ASCII, take in a checkpoint."""
    return sum(len(text) + QUOTES_BYTES for text in texts)
