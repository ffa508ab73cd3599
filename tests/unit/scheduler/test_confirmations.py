"""Which instances hold a phase: those that report, and have not applied it."""

from collections.abc import Sequence

from services.scheduler.confirmations import Confirmations
from services.scheduler.published_rules import PublishedRules
from services.scheduler.region_reports import (
    PUSHED_OUT,
    ReportedPosition,
    Reports,
    TooManyInstances,
    Unreadable,
)
from sluiceway.messaging.streams import APPLIED_LIFETIME_SECONDS
from tests.support.builders import NOW

RULES = PublishedRules("dev", sequence=10, since_ms=0)
MANY = "region dev: more than 10000 instances report"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class KnownReports:
    """What the broker would answer, and which regions it was asked for."""

    def __init__(self, reports: Reports) -> None:
        self.reports = reports
        self.incomplete_reason: str | None = None
        self.asked: list[str] = []

    async def of_regions(self, regions: Sequence[str]) -> list[Reports]:
        self.asked.extend(regions)
        return [self.reports for _ in regions]

    async def incomplete(self, now_ms: int) -> str | None:
        return self.incomplete_reason


def reported(clock: Clock, stored_ms: int | None = None, **instances: int) -> Confirmations:
    """Return what is known after these instances have reported the sequence that they have applied."""
    positions = {
        name: ReportedPosition(sequence, stored_ms, clock.now) for name, sequence in instances.items()
    }
    return Confirmations(KnownReports(positions), clock)


async def missing_of(confirmations: Confirmations, rules: PublishedRules) -> tuple[str, ...]:
    """Return who has not applied the rules of a phase that covers one region."""
    (missing,) = await confirmations.missing([[rules]])
    return missing


async def test_who_has_not_applied_the_rules_is_named_with_since_when() -> None:
    confirmations = reported(Clock(), one=9, two=10, three=11)

    assert await missing_of(confirmations, RULES) == (
        "region dev: not applied yet by one (since 1970-01-01T00:00:00.000Z)",
    )


async def test_a_hold_does_not_change_with_the_number_of_those_who_are_late() -> None:
    many = await missing_of(reported(Clock(), a=1, b=1, c=1, d=1, e=1), RULES)
    fewer = await missing_of(reported(Clock(), a=1, b=1, c=1, d=1, e=10), RULES)

    assert (
        many
        == fewer
        == ("region dev: not applied yet by a, b, c and others (since 1970-01-01T00:00:00.000Z)",)
    )


async def test_an_instance_that_fell_silent_holds_for_the_lifetime_of_its_report_and_no_longer() -> None:
    clock = Clock()
    confirmations = reported(clock, one=9)

    clock.now += APPLIED_LIFETIME_SECONDS * 1_000
    assert await missing_of(confirmations, RULES)
    clock.now += 1

    assert await missing_of(confirmations, RULES) == ()


async def test_a_region_without_reports_holds_nothing() -> None:
    assert await missing_of(reported(Clock()), RULES) == ()


async def test_a_position_before_the_rules_went_back_confirms_nothing() -> None:
    rules = RULES._replace(since_ms=NOW)

    lost, current = reported(Clock(), stored_ms=NOW - 1, one=1_000), reported(Clock(), stored_ms=NOW, one=10)

    assert await missing_of(lost, rules)
    assert await missing_of(current, rules) == ()


async def test_a_region_with_too_many_instances_holds_until_they_are_gone() -> None:
    reports = KnownReports(TooManyInstances())
    confirmations = Confirmations(reports, Clock())

    assert await missing_of(confirmations, RULES) == (MANY,)
    reports.reports = {}

    assert await missing_of(confirmations, RULES) == ()


async def test_a_region_whose_reports_cannot_be_read_holds_its_phases() -> None:
    confirmations = Confirmations(KnownReports(Unreadable()), Clock())

    assert await missing_of(confirmations, RULES) == ("region dev: its reports cannot be read to their end",)


async def test_only_the_regions_of_a_phase_are_read() -> None:
    reports = KnownReports({})
    confirmations = Confirmations(reports, Clock())

    await confirmations.missing([[RULES, RULES._replace(region="staging")]])

    assert reports.asked == ["dev", "staging"]


async def test_a_region_is_read_once_for_all_phases_that_are_asked_about_together() -> None:
    clock = Clock()
    reports = KnownReports({"one": ReportedPosition(10, None, clock.now)})
    newer, elsewhere = RULES._replace(sequence=11), RULES._replace(region="staging")

    missing = await Confirmations(reports, clock).missing([[RULES], [newer], [], [elsewhere, newer]])

    assert reports.asked == ["dev", "staging"]
    late = "region dev: not applied yet by one (since 1970-01-01T00:00:00.000Z)"
    assert missing == [(), (late,), (), (late,)]


async def test_a_stream_that_has_lost_reports_confirms_nothing() -> None:
    reports = KnownReports({})
    reports.incomplete_reason = PUSHED_OUT

    assert await missing_of(Confirmations(reports, Clock()), RULES) == (PUSHED_OUT,)
