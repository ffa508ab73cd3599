"""Which instances hold a phase: those that report, and have not applied it."""

from typing import Any, cast

import pytest

from services.scheduler import confirmations as confirmations_module
from services.scheduler.confirmations import Confirmations
from services.scheduler.published_rules import PublishedRules
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.messaging.stream_follower import Record
from sluiceway.messaging.streams import APPLIED_LIFETIME_SECONDS
from tests.support.builders import NOW

RULES = PublishedRules("dev", sequence=10, since_ms=0)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def reported(clock: Clock, stored_ms: int | None = None, **instances: int) -> Confirmations:
    """Return what is known after these instances have reported the sequence that they have applied."""
    confirmations = Confirmations(cast(Any, None), clock)
    for number, (name, sequence) in enumerate(instances.items()):
        report = AppliedReport(
            region="dev", instance=name, sequence=sequence, stored_ms=stored_ms, time_ms=clock.now
        )
        place = subjects.applied("dev", name)
        confirmations.follower._on_record(Record(place, number + 1, clock.now, report.to_json(), {}))
    return confirmations


def test_who_has_not_applied_the_rules_is_named_with_since_when() -> None:
    confirmations = reported(Clock(), one=9, two=10, three=11)

    assert confirmations.missing([RULES]) == (
        "region dev: not applied yet by one (since 1970-01-01T00:00:00.000Z)",
    )


def test_a_hold_does_not_change_with_the_number_of_those_who_are_late() -> None:
    many = reported(Clock(), a=1, b=1, c=1, d=1, e=1).missing([RULES])
    fewer = reported(Clock(), a=1, b=1, c=1, d=1, e=10).missing([RULES])

    assert (
        many
        == fewer
        == ("region dev: not applied yet by a, b, c and others (since 1970-01-01T00:00:00.000Z)",)
    )


def test_an_instance_that_fell_silent_holds_for_the_lifetime_of_its_report_and_no_longer() -> None:
    clock = Clock()
    confirmations = reported(clock, one=9)

    clock.now += APPLIED_LIFETIME_SECONDS * 1_000
    assert confirmations.missing([RULES])
    clock.now += 1

    assert confirmations.missing([RULES]) == ()


def test_a_region_without_reports_holds_nothing() -> None:
    assert reported(Clock()).missing([RULES]) == ()


def test_a_position_before_the_rules_went_back_confirms_nothing() -> None:
    rules = RULES._replace(since_ms=NOW)

    lost, current = reported(Clock(), stored_ms=NOW - 1, one=1_000), reported(Clock(), stored_ms=NOW, one=10)

    assert lost.missing([rules])
    assert current.missing([rules]) == ()


def test_a_region_with_too_many_instances_holds_until_they_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmations_module, "INSTANCES_MAX", 3)
    clock = Clock()
    confirmations = reported(clock, a=10, b=10, c=10, d=10)

    assert confirmations.missing([RULES]) == ("region dev: more than 3 instances report",)
    clock.now += APPLIED_LIFETIME_SECONDS * 1_000 + 1
    assert confirmations.missing([RULES]) == ()
