"""What RULES holds for each region and feature: packed, since there is an entry for each pair of them."""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ..contracts.identifiers import FeatureKey

#: Sequence, first sequence, epoch, revision, revision of the region, checksum.
_PACKED = struct.Struct("<QQQQQ16s")
_SEQUENCES = struct.Struct("<QQ")
_VERSION = struct.Struct("<QQ")
_VERSION_AT = struct.calcsize("<QQQ")
_CHECKSUM = struct.Struct("16s")
_NO_FEATURES: dict[FeatureKey, bytes] = {}
#: Checksums that are remembered as they are packed: those of one event are looked at one after the other.
RECENT_CHECKSUMS = 64

#: The checksum of a feature that has no rules in a region.
NOTHING = "-"
_NO_RULES = _CHECKSUM.pack(NOTHING.encode())
_CHECKSUM_AT = _PACKED.size - len(_NO_RULES)


class RuleVersion(NamedTuple):
    """What a document comes from: the event in FEATURES, and the region's document in CATALOG."""

    revision: int
    region_revision: int

    def supersedes(self, other: "RuleVersion") -> bool:
        """Return whether neither part is older than that of `other`."""
        return self.revision >= other.revision and self.region_revision >= other.region_revision


class RuleKey(NamedTuple):
    """A key in RULES."""

    region: str
    feature: FeatureKey


class PublishedRule(NamedTuple):
    """What RULES holds for a key."""

    sequence: int
    #: Of the first document of this key.
    first_sequence: int
    epoch: int
    version: RuleVersion
    checksum: str


#: The content of a key that was never written.
NOT_PUBLISHED = PublishedRule(0, 0, 0, RuleVersion(0, 0), NOTHING)


class RuleTable:
    """Maps keys to what they hold, in about 250 bytes each."""

    def __init__(self) -> None:
        self._by_region: dict[str, dict[FeatureKey, bytes]] = {}
        #: Each feature once, for all regions.
        self._features: dict[FeatureKey, FeatureKey] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_region.values()))

    def get(self, key: RuleKey) -> PublishedRule:
        """Return what a key holds."""
        packed = self._by_region.get(key.region, {}).get(key.feature)
        return _unpacked(packed) if packed else NOT_PUBLISHED

    def sequence(self, key: RuleKey) -> int:
        """Return the sequence of what a key holds; 0 if it was never written."""
        packed = self._by_region.get(key.region, {}).get(key.feature)
        return int(_SEQUENCES.unpack_from(packed)[0]) if packed else 0

    def sequences(self, key: RuleKey) -> tuple[int, int]:
        """Return the last and the first sequence of a key; zeros if it was never written."""
        packed = self._by_region.get(key.region, _NO_FEATURES).get(key.feature)
        return _SEQUENCES.unpack_from(packed) if packed else (0, 0)

    def version(self, key: RuleKey) -> RuleVersion:
        """Return which version a key holds."""
        packed = self._by_region.get(key.region, _NO_FEATURES).get(key.feature)
        return RuleVersion(*_VERSION.unpack_from(packed, _VERSION_AT)) if packed else NOT_PUBLISHED.version

    def holds(self, key: RuleKey, checksum: str) -> bool:
        """Return whether a key holds what has this checksum."""
        packed = self._by_region.get(key.region, _NO_FEATURES).get(key.feature)
        return (packed[_CHECKSUM_AT:] if packed else _NO_RULES) == _packed_checksum(checksum)

    def set(self, key: RuleKey, published: PublishedRule) -> None:
        """Take what a key holds now; raises `ValueError` if a number is out of range."""
        feature = self._features.setdefault(key.feature, key.feature)
        self._by_region.setdefault(key.region, {})[feature] = _pack(published)

    def clear(self) -> None:
        """Forget all."""
        self._by_region.clear()
        self._features.clear()

    def regions(self) -> tuple[str, ...]:
        """Return the regions that have keys."""
        return tuple(self._by_region)

    def with_rules(self, region: str) -> Iterator[FeatureKey]:
        """Yield every feature that has rules in a region."""
        for feature, packed in tuple(self._by_region.get(region, {}).items()):
            if packed[_CHECKSUM_AT:] != _NO_RULES:
                yield feature

    def written_after(self, region: str, sequence: int) -> list[FeatureKey]:
        """Return the features whose key in a region was written after a sequence of RULES."""
        entries = self._by_region.get(region, {}).items()
        return [feature for feature, packed in entries if _SEQUENCES.unpack_from(packed)[0] > sequence]

    def count_written_until(self, region: str, sequence: int) -> int:
        """Return how many keys of a region existed already at a sequence of RULES."""
        entries = self._by_region.get(region, {}).values()
        return sum(_SEQUENCES.unpack_from(packed)[1] <= sequence for packed in entries)


@lru_cache(RECENT_CHECKSUMS)
def _packed_checksum(checksum: str) -> bytes:
    return _CHECKSUM.pack(checksum.encode())


def _pack(published: PublishedRule) -> bytes:
    sequence, first, epoch, version, checksum = published
    try:
        return _PACKED.pack(sequence, first, epoch, *version, checksum.encode())
    except struct.error as error:
        raise ValueError(f"{published} is out of range: {error}") from error


def _unpacked(packed: bytes) -> PublishedRule:
    sequence, first, epoch, revision, region_revision, checksum = _PACKED.unpack(packed)
    text = checksum.rstrip(b"\0").decode("utf-8", "replace")
    return PublishedRule(sequence, first, epoch, RuleVersion(revision, region_revision), text)
