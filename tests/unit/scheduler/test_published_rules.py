"""Whether the rules of a phase stand in RULES: one question for all its regions, and no guess."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from services.scheduler.baked_phase import BakedPhase
from services.scheduler.covered_regions import CoveredRegions
from services.scheduler.published_rules import PublishedRules, RulesReader
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.leader_reads import StoredHeaders
from sluiceway.pipelines.decision import Catalogue
from sluiceway.pipelines.projection import checksum, project_each
from tests.support.builders import a_catalogue, a_phase, a_region, a_release

REGIONS = [a_region(name) for name in ("a", "b", "c", "d")]
EVENT = a_release().events[-1]
KEY = FeatureKey(FeatureKind.GATE, "checkout")
SINCE = " (since 1970-01-01T00:16:40.000Z)"


class StoredRegion(NamedTuple):
    document: Region
    revision: int = 1


class FakeCatalogue:
    """Holds regions; `looks`: how often all of them were looked at."""

    def __init__(self) -> None:
        self.regions = [*REGIONS, a_region("far", "production")]
        self.looks = 0
        self._catalogue = a_catalogue()

    def catalogue(self) -> Catalogue:
        return self._catalogue

    def all(self, kind: str) -> list[StoredRegion]:
        self.looks += 1
        return [StoredRegion(region) for region in self.regions]

    def change(self, *regions: Region) -> None:
        self.regions, self._catalogue = list(regions), a_catalogue()


class FakeReads:
    """Holds messages by region; None: nothing is stored there; absent: it cannot be read."""

    def __init__(self, **messages: StoredHeaders | None) -> None:
        self.asked: list[list[str]] = []
        self._messages = {subjects.rule(region, KEY): message for region, message in messages.items()}

    async def newest(self, places: Iterable[str]) -> dict[str, StoredHeaders | None]:
        self.asked.append(list(places))
        return {place: self._messages[place] for place in self.asked[-1] if place in self._messages}


def stored(digest: str, sequence: int = 5) -> StoredHeaders:
    return StoredHeaders(sequence, 1_000, {envelope.CHECKSUM: digest})


def expected_digest() -> str:
    document = project_each(EVENT, 7, REGIONS)["a"]
    assert document
    return checksum(document)


async def test_what_is_published_is_told_from_what_is_not_and_from_what_cannot_be_read() -> None:
    catalogue: Any = FakeCatalogue()
    reads: Any = FakeReads(a=stored(expected_digest()), b=stored("another"), c=None)

    (rules,) = await RulesReader(reads, catalogue).of_phases([BakedPhase(EVENT, 7)])

    assert rules.published == (PublishedRules("a", 5, 1_000),)
    assert rules.holds == (
        f"region b: the rules are not published yet{SINCE}",
        f"region c: the rules are not published yet{SINCE}",
        "region d: the published rules cannot be read",
    )


async def test_all_regions_of_a_phase_are_one_question() -> None:
    catalogue: Any = FakeCatalogue()
    reads: Any = FakeReads()

    await RulesReader(reads, catalogue).of_phases([BakedPhase(EVENT, 7)])

    assert reads.asked == [[subjects.rule(name, KEY) for name in ("a", "b", "c", "d")]]


async def test_the_regions_of_a_phase_are_found_once_until_the_catalogue_changes() -> None:
    catalogue: Any = FakeCatalogue()
    reads: Any = FakeReads()
    rules = RulesReader(reads, catalogue)

    for revision in range(10):
        await rules.of_phases([BakedPhase(EVENT, revision)])
    looks = catalogue.looks
    catalogue.change(REGIONS[1])
    await rules.of_phases([BakedPhase(EVENT, 11)])

    assert (looks, catalogue.looks) == (1, 2)
    assert reads.asked[-1] == [subjects.rule("b", KEY)]


def test_phases_that_python_takes_for_equal_are_told_apart() -> None:
    catalogue: Any = FakeCatalogue()
    catalogue.change(a_region("number", tier=1), a_region("truth", tier=True))
    regions = CoveredRegions(catalogue)

    def covered(target: object) -> list[str]:
        condition = {"type": "custom_field", "field": "tier", "operator": "eq", "targetValue": target}
        return [found.region.name for found in regions.of_phase(a_phase(conditions=[condition]))]

    assert covered(1) != covered(True)
