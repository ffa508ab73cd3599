"""Which release an alert is about."""

from typing import Any

import pytest

from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import AbortTrigger, RollOutTrigger, SkipPhase
from sluiceway.contracts.envelope import rfc3339
from sluiceway.contracts.guardrails import OnFailure
from sluiceway.pipelines.alert_matches import MatchedTrigger, match_alert
from tests.support.builders import NOW, Ledger, a_phase, a_region, a_release

HOUR_MS = 3_600_000
REGIONS = {
    region.name: region
    for region in (
        a_region("dev"),
        a_region("prod-us-west", "production", region="us-west"),
    )
}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"gate": "checkout"}, True),
        ({"pipeline": "release"}, True),
        ({"gate": "checkout", "region": "dev"}, True),
        ({"gate": "checkout", "severity": "page"}, True),
        ({"gate": "checkout", "region": "prod-us-west"}, False),
        ({"gate": "checkout", "region": "us-west"}, False),
        ({"gate": "checkout", "region": "nowhere"}, False),
        ({"gate": "checkout", "pipeline": "other"}, False),
        ({"gate": "other", "pipeline": "release"}, False),
        ({"dynamic_config": "checkout"}, False),
        ({"region": "dev"}, False),
        ({}, False),
    ],
)
def test_all_labels_must_agree(labels: dict[str, str], expected: bool) -> None:
    feature = a_release(a_phase("dev"), a_phase("prod", environments=["production"])).feature

    assert bool(match_alert(Alert(name="x", labels=labels), feature, REGIONS, NOW)) is expected


def test_a_region_is_known_by_its_name_and_by_its_attribute() -> None:
    feature = a_release(a_phase("prod", environments=["production"])).feature

    for label in ("prod-us-west", "us-west"):
        assert match_alert(
            Alert(name="x", labels={"gate": "checkout", "region": label}), feature, REGIONS, NOW
        )


def test_nothing_released_and_nothing_active_match_no_alert() -> None:
    waiting = a_release(a_phase("dev", review=True))
    aborted = a_release()
    aborted.act(AbortTrigger)

    for ledger in (waiting, aborted):
        assert not match_alert(Alert(name="x", labels={"gate": "checkout"}), ledger.feature, REGIONS, NOW)


def two_phases(**fields: Any) -> Ledger:
    """Return a release that is in its second phase, in production, since an hour after its start."""
    ledger = a_release(a_phase("dev"), a_phase("prod", environments=["production"], **fields))
    ledger.act(SkipPhase, after_ms=HOUR_MS)
    return ledger


def matched(ledger: Ledger, start_ms: int, **labels: str) -> MatchedTrigger | None:
    """Return what an alert that started then matches two hours after the start of the release."""
    alert = Alert(name="x", labels=labels, starts_at=rfc3339(start_ms + 1))
    return match_alert(alert, ledger.feature, REGIONS, NOW + 2 * HOUR_MS)


@pytest.mark.parametrize(
    ("after_ms", "region", "is_before"),
    [
        (-1_000, None, True),
        (1_000, None, False),
        (1_000, "dev", False),
        (1_000, "us-west", True),
        (HOUR_MS + 1_000, "us-west", False),
    ],
)
def test_an_alert_is_compared_with_the_time_since_when_its_region_has_had_the_candidate(
    after_ms: int, region: str | None, is_before: bool
) -> None:
    labels = {"gate": "checkout"} | ({"region": region} if region else {})

    found = matched(two_phases(), NOW + after_ms, **labels)

    assert found
    assert found.is_before is is_before


def test_a_guardrail_counts_alerts_from_the_start_of_its_phase() -> None:
    ledger = two_phases(guardrails=[{"name": "pager", "alert": {"matchLabels": {"team": "a"}}}])

    early, late = (matched(ledger, NOW + after, team="a") for after in (1_000, HOUR_MS + 1_000))

    assert early
    assert early.is_before
    assert late
    assert not late.is_before


def test_a_weaker_guardrail_counts_if_the_alert_is_before_the_stronger_one() -> None:
    watch = {"alert": {"matchLabels": {"team": "a"}}}
    ledger = a_release(
        a_phase("dev", guardrails=[{**watch, "name": "tell", "onFailure": "notify"}]),
        a_phase("prod", guardrails=[{**watch, "name": "stop"}]),
    )
    ledger.act(SkipPhase, after_ms=HOUR_MS)

    found = matched(ledger, NOW + 1_000, team="a")

    assert found
    assert (found.action, found.guardrail, found.is_before) == (OnFailure.NOTIFY, "tell", False)


def test_a_release_that_went_out_fully_before_any_phase_is_out_since_its_end() -> None:
    ledger = a_release(a_phase("dev", review=True), observeForMs=10 * HOUR_MS)
    ledger.act(RollOutTrigger, after_ms=HOUR_MS)

    early, late = (matched(ledger, NOW + after, gate="checkout") for after in (1_000, HOUR_MS + 1_000))

    assert early
    assert early.is_before
    assert late
    assert not late.is_before
