"""When more streams of rules are advised, and when damaged ones are declared again."""

from typing import Any

import pytest

from services.scheduler import rules_regions
from services.scheduler.rules_regions import REGIONS_OF_STREAM, RulesRegions, advised_streams
from sluiceway.messaging.rules_streams import STREAMS_MAX, RulesStreams
from sluiceway.service import background_task
from tests.support.waiting import eventually


class FakeDeclaration:
    """The streams are complete; None: another scheduler changes their number."""

    def __init__(self, count: int | None) -> None:
        self.streams = RulesStreams(count) if count else None
        self.looks = 0
        self.problem: str | None = None
        self.declared: list[int | None] = []

    async def declare(self, wanted: int | None) -> None:
        self.declared.append(wanted)
        self.problem = None

    async def has_looked(self, looks: int) -> None:
        await eventually(lambda: self.looks >= looks, "it looks")

    async def complete(self) -> bool:
        self.looks += 1
        return False


class FakeCatalogue:
    """Has so many regions."""

    def __init__(self, count: int) -> None:
        self.regions = range(count)

    def catalogue(self) -> "FakeCatalogue":
        return self


async def advice(count: int | None, regions: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a scheduler with these streams and regions says, after it has looked several times."""
    declaration = FakeDeclaration(count)
    streams: Any = declaration
    catalogue: Any = FakeCatalogue(regions)
    keeper = RulesRegions(streams, catalogue)
    async with background_task(keeper.run(), "test"):
        for looks in range(1, 4):
            keeper.wake("region")
            await declaration.has_looked(looks)
    return [record.getMessage() for record in caplog.records]


async def test_above_some_hundred_regions_in_one_stream_more_are_advised_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await advice(1, 995, caplog) == [
        "SLUICEWAY_RULES_STREAMS is 1, too few for 995 regions: what the broker looks through for each event "
        "is most of its work; set it to 16, as docs/capacity.md describes"
    ]


@pytest.mark.parametrize(
    ("count", "regions"),
    [(1, REGIONS_OF_STREAM), (4, 4 * REGIONS_OF_STREAM), (STREAMS_MAX, 100_000), (None, 995)],
)
async def test_where_more_would_not_pay_nothing_is_said(
    count: int | None, regions: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert await advice(count, regions, caplog) == []


@pytest.mark.parametrize(("regions", "streams"), [(0, 1), (64, 1), (65, 2), (301, 8), (995, 16), (9_999, 64)])
def test_the_advice_is_a_power_of_two_that_a_scheduler_takes(regions: int, streams: int) -> None:
    assert advised_streams(regions) == streams


async def test_a_first_stream_that_is_missing_for_longer_than_a_change_takes_is_declared_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    declaration, keeper = damaged(monkeypatch, after_seconds=0.0)
    async with background_task(keeper.run(), "test"):
        await declaration.has_looked(2)

    assert declaration.declared == [None]
    assert keeper.problem is None
    assert caplog.messages == ["declaring the streams of rules again: the stream KV_RULES is missing"]


async def test_nothing_is_declared_while_another_scheduler_may_be_changing_the_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declaration, keeper = damaged(monkeypatch, after_seconds=3_600.0)
    async with background_task(keeper.run(), "test"):
        await declaration.has_looked(5)

    assert declaration.declared == []
    assert keeper.problem == "the stream KV_RULES is missing"


def damaged(monkeypatch: pytest.MonkeyPatch, after_seconds: float) -> tuple[FakeDeclaration, RulesRegions]:
    """Return streams without the first one, and what looks at them all the time."""
    monkeypatch.setattr(rules_regions, "REPAIR_AFTER_SECONDS", after_seconds)
    monkeypatch.setattr(rules_regions, "CHECK_AGAIN_SECONDS", 0.0)
    declaration = FakeDeclaration(None)
    declaration.problem = "the stream KV_RULES is missing"
    streams: Any = declaration
    catalogue: Any = FakeCatalogue(0)
    return declaration, RulesRegions(streams, catalogue)
