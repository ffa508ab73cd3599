"""What is published instead of a version that cannot be."""

from typing import Any

from sluiceway.contracts.commands import AbortTrigger, RollBackTrigger, RollOutTrigger
from sluiceway.contracts.feature import Feature, Spec
from sluiceway.pipelines.substitutes import LiveVersions, substitutes
from tests.support.builders import EVERYONE, Ledger, a_catalogue, a_gate, a_phase, a_pipeline, a_release


def rule(name: str) -> dict[str, Any]:
    return {**EVERYONE, "name": name}


def live_versions(ledger: Ledger, *taken_back: str) -> LiveVersions:
    specs: dict[int, Spec] = {}
    for event in ledger.events:
        if event.feature.base:
            specs[event.feature.base.version] = event.feature.base
    return LiveVersions(tuple(reversed(specs.values())), frozenset(taken_back))


def versions(found: list[Feature]) -> list[tuple[int, bool]]:
    assert all(feature.candidate is None for feature in found)
    return [(each.base.version, each.base.is_enabled) for each in found if each.base]


def test_first_comes_what_is_live_outside_the_release_and_last_the_default() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod"))

    found = list(substitutes(ledger.feature, live_versions(ledger)))

    assert versions(found) == [(1, True), (1, False)]


def test_earlier_versions_follow_the_newest_first() -> None:
    ledger = Ledger(a_catalogue())
    for name in ("one", "two", "three"):
        ledger.save(a_gate(rule(name)))

    found = list(substitutes(ledger.feature, live_versions(ledger)))

    assert versions(found) == [(2, True), (1, True), (3, False)]


def test_a_version_that_was_rolled_back_after_its_completion_is_left_out() -> None:
    ledger = Ledger(a_catalogue(a_pipeline(a_phase("dev"), observe_for_ms=60_000)))
    ledger.save(a_gate(rule("one")))
    ledger.save(a_gate(rule("bad"), releasePipelineID="release"))
    ledger.act(RollOutTrigger)
    ledger.act(RollBackTrigger)

    found = list(substitutes(ledger.feature, live_versions(ledger)))

    assert versions(found) == [(1, True), (3, False)]


def test_a_feature_that_was_never_live_is_replaced_by_nothing() -> None:
    ledger = Ledger(a_catalogue(a_pipeline(a_phase("dev"))))
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    assert ledger.feature.candidate

    while_released = list(substitutes(ledger.feature, LiveVersions()))
    ledger.act(AbortTrigger)
    afterwards = list(substitutes(ledger.feature, LiveVersions()))

    assert [feature.base for feature in while_released] == [None]
    assert afterwards == []
