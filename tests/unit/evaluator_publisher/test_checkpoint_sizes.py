"""A checkpoint fits into the smallest usual message, however many regions there are."""

from collections.abc import Collection
from typing import Any, cast

from services.evaluator_publisher.checkpoints import Checkpoints, Unproved
from services.evaluator_publisher.grouped_regions import GroupedRegions, RegionGroup
from sluiceway.contracts.checkpoint import Checkpoint
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.catalogue_store import StoredDocument
from sluiceway.messaging.checkpoint_store import StoredCheckpoint
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.messaging.stream_records import Position
from tests.support.builders import NOW, a_region

LIMIT = 65_536
NAME_LENGTH = 100
FEW, MANY = 100, 25_000
#: Of the longest kind and name, as many as a checkpoint leaves out.
LEFT_OUT = 250


class Log:
    """A log without entries that is read to a position."""

    position = Position("", 7, NOW)

    def __iter__(self) -> Any:
        return iter(())


class Rules:
    """RULES, read as far as the checkpoint says."""

    position = Position("", 9, NOW)
    message_bytes_max, epoch, newest_document, documents = LIMIT, NOW, 9, 2

    async def written_after(self, sequence: int) -> set[FeatureKey]:
        return set()

    async def count_written_until(self, sequence: int) -> int:
        return self.documents


class Catalogue:
    """A catalogue of so many regions with the longest names."""

    def catalogue(self) -> object:
        return object()

    def __init__(self, regions: int) -> None:
        self.attributes = dict.fromkeys(
            (f"r{number}".ljust(NAME_LENGTH, "x") for number in range(regions)), "a"
        )

    def all(self, kind: str) -> list[StoredDocument]:
        regions = (a_region(name, region=value) for name, value in self.attributes.items())
        return [StoredDocument(region, 1, "ada", NOW, "ada", NOW) for region in regions]


class Store:
    """Keeps the newest checkpoint."""

    def __init__(self) -> None:
        self.stored: Checkpoint | None = None

    async def write(self, checkpoint: Checkpoint) -> bool:
        self.stored = checkpoint
        return True

    async def read(self) -> StoredCheckpoint | None:
        return StoredCheckpoint(10, self.stored) if self.stored else None

    async def event_time_ms(self, sequence: int) -> int:
        return NOW


class Publisher:
    """What a publisher proves, and how large it is."""

    def __init__(self, regions: int) -> None:
        self.store, self.catalogue = Store(), Catalogue(regions)
        self._checkpoints = Checkpoints(
            cast(Any, self.store),
            cast(Any, Log()),
            cast(Any, Rules()),
            RegionGroup(GroupedRegions(cast(Any, self.catalogue), RulesStreams()), 0),
        )
        self._checkpoints.begin()

    async def save(self, unproved: Collection[FeatureKey] = ()) -> int:
        await self._checkpoints.save(unproved)
        return len(self.store.stored.to_json()) if self.store.stored else 0

    async def start(self) -> Unproved | None:
        return await self._checkpoints.unproved()

    def change(self, number: int) -> str:
        name = list(self.catalogue.attributes)[number]
        self.catalogue.attributes[name] = "changed"
        return name


def features(count: int) -> list[FeatureKey]:
    return [
        FeatureKey(FeatureKind.DYNAMIC_CONFIG, f"c{number}".ljust(NAME_LENGTH, "x"))
        for number in range(count)
    ]


async def test_a_checkpoint_fits_with_the_longest_lists() -> None:
    assert 0 < await Publisher(regions=MANY).save(features(LEFT_OUT)) < LIMIT
    assert 0 < await Publisher(regions=FEW).save(features(LEFT_OUT)) < LIMIT


async def test_no_checkpoint_leaves_out_more_than_fits() -> None:
    assert await Publisher(regions=1).save(features(1_000)) == 0


async def test_few_regions_are_proved_one_by_one() -> None:
    publisher = Publisher(regions=FEW)
    await publisher.save()
    assert await publisher.start() == Unproved(frozenset(), frozenset())

    changed = publisher.change(3)

    assert await publisher.start() == Unproved(frozenset(), frozenset({changed}))


async def test_many_regions_are_proved_together() -> None:
    publisher = Publisher(regions=600)
    await publisher.save()
    assert await publisher.start() == Unproved(frozenset(), frozenset())

    publisher.change(3)

    assert await publisher.start() is None
