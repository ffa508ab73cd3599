"""What a console remembers of the reports of regions, which edges write as they like."""

import asyncio
import json
import tracemalloc
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from services.console import instance_reports, region_view
from services.console.held_rules import HeldRules
from services.console.region_view import RegionsView
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.publishing import DELETION
from sluiceway.messaging.stream_records import Position, Record
from sluiceway.messaging.streams import APPLIED_LIFETIME_SECONDS
from tests.support.builders import NOW

CHECKOUT = FeatureKey(FeatureKind.GATE, "checkout")
#: What the rules of a feature take in a region, with a key that no view shares.
HELD_BYTES_MAX = 450
LATER = NOW + APPLIED_LIFETIME_SECONDS * 1_000 + 1


@pytest.fixture
def view() -> RegionsView:
    return RegionsView(cast(Any, None), FeatureView(cast(Any, None), cast(Any, None)))


def report(view: RegionsView, instance: str, time_ms: int = NOW) -> None:
    text = AppliedReport(region="dev", instance=instance, sequence=1, time_ms=time_ms).to_json()
    view.reports._handle(Record(subjects.applied("dev", instance), 1, time_ms, text, {}))


def names(view: RegionsView, now_ms: int = NOW) -> list[str]:
    return [instance.name for instance in view.instances("dev", now_ms)]


def test_instances_of_a_region_are_remembered_up_to_a_number(
    view: RegionsView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_reports, "INSTANCES_MAX", 3)

    for number in range(100):
        report(view, f"i-{number}")
    report(view, "i-1")

    assert names(view) == ["i-0", "i-1", "i-2"]


def test_instances_that_are_gone_leave_their_places(
    view: RegionsView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_reports, "INSTANCES_MAX", 3)
    for name in ("a", "b", "c"):
        report(view, name)
    report(view, "a", LATER)

    report(view, "d", LATER)

    assert names(view, LATER) == ["a", "d"]


async def test_a_console_starts_although_reports_do_not_end(
    view: RegionsView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_view, "REPORTS_SECONDS", 0.01)
    view._sent[0].follower._caught_up.set()

    async with asyncio.timeout(5):
        await view.caught_up()


def rules(key: FeatureKey, sequence: int, trigger: str | None) -> Record:
    document = {"revision": 7, "trigger": trigger}
    return Record(subjects.rule("dev", key), sequence, NOW, json.dumps(document).encode(), {})


@pytest.mark.parametrize("trigger", ["gate.checkout.3", None])
def test_rules_of_a_region_are_as_they_were_sent(view: RegionsView, trigger: str | None) -> None:
    view._sent[0]._handle(rules(CHECKOUT, 5, trigger))

    held = view.held("dev")
    assert dict(held) == {CHECKOUT: HeldRules(Position("", 5, NOW), 7, trigger)}
    assert CHECKOUT in held
    assert view.held("eu").get(CHECKOUT) is None
    view._sent[0]._handle(Record(subjects.rule("dev", CHECKOUT), 6, NOW, b"", DELETION))
    assert len(held) == 0


@pytest.mark.parametrize("trigger", ["gate.other.3", "dynamic_config.checkout.3", "checkout", "", "..."])
def test_a_trigger_of_another_feature_is_left_out(view: RegionsView, trigger: str) -> None:
    view._sent[0]._handle(rules(CHECKOUT, 5, trigger))

    assert view.held("dev")[CHECKOUT].trigger is None


def test_rules_of_a_region_take_little_memory(view: RegionsView) -> None:
    records = [rules(FeatureKey(FeatureKind.GATE, f"gate{n}"), n, f"gate.gate{n}.1") for n in range(1_000)]

    tracemalloc.start()
    for record in records:
        view._sent[0]._handle(record)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert len(view.held("dev")) == len(records)
    assert taken / len(records) < HELD_BYTES_MAX


def test_a_record_under_a_name_that_nothing_can_have_is_counted_and_left_out(view: RegionsView) -> None:
    before = _invalid_records()

    view._sent[0]._handle(rules(FeatureKey(FeatureKind.GATE, "bad=name"), 1, None))

    assert len(view.held("dev")) == 0
    assert _invalid_records() == before + 1


def _invalid_records() -> float:
    labels = {"stream": subjects.RULES_STREAM}
    return REGISTRY.get_sample_value("sluiceway_invalid_records_total", labels) or 0
