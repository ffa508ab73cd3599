"""What RULES holds for each region and feature: packed, since there is an entry for each pair of them."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ..contracts.identifiers import FeatureKey

#: Sequence, epoch, revision, revision of the region, checksum.
_PACKED = struct.Struct("<QQQQ16s")

#: The checksum of a feature that has no rules in a region.
NOTHING = "-"


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
    epoch: int
    version: RuleVersion
    checksum: str


#: The content of a key that was never written.
NOT_PUBLISHED = PublishedRule(0, 0, RuleVersion(0, 0), NOTHING)


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
            if _unpacked(packed).checksum != NOTHING:
                yield feature


def _pack(published: PublishedRule) -> bytes:
    sequence, epoch, version, checksum = published
    try:
        return _PACKED.pack(sequence, epoch, *version, checksum.encode())
    except struct.error as error:
        raise ValueError(f"{published} is out of range: {error}") from error


def _unpacked(packed: bytes) -> PublishedRule:
    sequence, epoch, revision, region_revision, checksum = _PACKED.unpack(packed)
    text = checksum.rstrip(b"\0").decode("utf-8", "replace")
    return PublishedRule(sequence, epoch, RuleVersion(revision, region_revision), text)
