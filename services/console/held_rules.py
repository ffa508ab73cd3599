"""The rules that a region was sent: packed, since there are some for each pair of a region and a feature."""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sluiceway.contracts.identifiers import FeatureKey, trigger_id
from sluiceway.messaging.stream_records import Position

#: Sequence in RULES, when it was stored, sequence in FEATURES, run of the trigger (0: none).
_PACKED = struct.Struct("<QQQI")


class HeldRules(NamedTuple):
    """The rules of one feature in one region."""

    #: Its place in RULES: an instance whose report is at least as far has applied it.
    position: Position
    #: Sequence of the event in FEATURES.
    revision: int
    #: The active trigger whose candidate these rules hold, or that released them.
    trigger: str | None


class RulesOfRegion(Mapping[FeatureKey, HeldRules]):
    """The rules of all features in a region, in about 150 bytes each."""

    def __init__(self) -> None:
        self._packed: dict[FeatureKey, bytes] = {}

    def __getitem__(self, key: FeatureKey) -> HeldRules:
        sequence, stored_ms, revision, run = _PACKED.unpack(self._packed[key])
        return HeldRules(Position("", sequence, stored_ms), revision, trigger_id(key, run) if run else None)

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __iter__(self) -> Iterator[FeatureKey]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def set(self, key: FeatureKey, sequence: int, stored_ms: int, revision: int, trigger: str | None) -> None:
        """Hold the rules of a feature that RULES has at `sequence`; `key` is kept."""
        feature, _, run = (trigger or "").rpartition(".")
        run_number = int(run) if feature == f"{key.kind}.{key.name}" else 0
        self._packed[key] = _PACKED.pack(sequence, stored_ms, revision, run_number)

    def discard(self, key: FeatureKey) -> None:
        """Hold no rules of a feature any more."""
        self._packed.pop(key, None)
