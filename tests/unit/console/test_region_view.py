"""What a console remembers of the reports of regions, which edges write as they like."""

import asyncio
from typing import Any, cast

import pytest

from services.console import region_view
from services.console.region_view import RegionsView
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.stream_follower import Record
from sluiceway.messaging.streams import APPLIED_LIFETIME_SECONDS
from tests.support.builders import NOW

LATER = NOW + APPLIED_LIFETIME_SECONDS * 1_000 + 1


@pytest.fixture
def view() -> RegionsView:
    return RegionsView(cast(Any, None), FeatureView(cast(Any, None), cast(Any, None)))


def report(view: RegionsView, instance: str, time_ms: int = NOW) -> None:
    text = AppliedReport(region="dev", instance=instance, sequence=1, time_ms=time_ms).to_json()
    view._handle_report(Record(subjects.applied("dev", instance), 1, time_ms, text, {}))


def names(view: RegionsView, now_ms: int = NOW) -> list[str]:
    return [instance.name for instance in view.instances("dev", now_ms)]


def test_instances_of_a_region_are_remembered_up_to_a_number(
    view: RegionsView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_view, "INSTANCES_MAX", 3)

    for number in range(100):
        report(view, f"i-{number}")
    report(view, "i-1")

    assert names(view) == ["i-0", "i-1", "i-2"]


def test_instances_that_are_gone_leave_their_places(
    view: RegionsView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_view, "INSTANCES_MAX", 3)
    for name in ("a", "b", "c"):
        report(view, name)
    report(view, "a", LATER)

    report(view, "d", LATER)

    assert names(view, LATER) == ["a", "d"]


async def test_a_console_starts_although_reports_do_not_end(
    view: RegionsView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_view, "REPORTS_SECONDS", 0.01)
    view.follower._caught_up.set()

    async with asyncio.timeout(5):
        await view.caught_up()
