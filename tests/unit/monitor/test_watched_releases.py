"""The index of releases that are out: what an alert costs, and what is found after any change."""

from typing import Any

import pytest

from services.monitor.watched_releases import WatchedReleases
from sluiceway.contracts import envelope
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import AbortTrigger, RollOutTrigger
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.pipelines.alert_keys import alert_keys
from tests.support.builders import EVERYONE, NOW, Ledger, a_catalogue, a_gate, a_phase, a_pipeline

OBSERVE_MS = 60_000
CHECKOUT = FeatureKey(FeatureKind.GATE, "checkout")
PAGER = {"name": "pager", "alert": {"matchLabels": {"severity": "critical", "team": "a"}}}


class Clock:
    """A clock that a test sets."""

    now_ms = NOW

    def __call__(self) -> int:
        return self.now_ms


def a_release_of(name: str = "checkout", pipeline: str = "release", *guardrails: dict[str, Any]) -> Ledger:
    """Return the release of a gate through a pipeline with this id."""
    plan = a_pipeline(a_phase("dev", guardrails=guardrails), observe_for_ms=OBSERVE_MS)
    ledger = Ledger(a_catalogue(plan.model_copy(update={"id": pipeline, "name": f"{pipeline} of all"})))
    ledger.save(a_gate(name=name))
    ledger.save(a_gate(EVERYONE, name=name, releasePipelineID=pipeline))
    return ledger


def entry_of(event: FeatureEvent, sequence: int = 1) -> FeatureEntry:
    return FeatureEntry(event.feature.key, sequence, headers_of(event, ""), data=event.to_json())


def an_old_entry_of(event: FeatureEvent) -> FeatureEntry:
    """Return an entry as a version stored it that had no header of keys."""
    headers = headers_of(event, "")
    del headers[envelope.ALERT_KEYS], headers[envelope.METRIC_GUARDRAILS]
    return FeatureEntry(event.feature.key, 1, headers, data=event.to_json())


def alert(**labels: str) -> Alert:
    return Alert(name="Slow", labels=labels)


@pytest.mark.parametrize("of_version", [entry_of, an_old_entry_of])
@pytest.mark.parametrize(
    ("labels", "is_found"),
    [
        ({"gate": "checkout"}, True),
        ({"gate": "other"}, False),
        ({"dynamic_config": "checkout"}, False),
        ({"pipeline": "release"}, True),
        ({"pipeline": "release of all"}, True),
        ({"pipeline": "other", "team": "a", "severity": "critical"}, False),
        ({"team": "a", "severity": "critical", "more": "x"}, True),
        ({"team": "b"}, False),
        ({}, False),
    ],
)
def test_a_release_is_found_by_its_names_and_by_the_labels_of_its_guardrails(
    of_version: object, labels: dict[str, str], is_found: bool
) -> None:
    watched = WatchedReleases(Clock())
    assert callable(of_version)
    watched.note(of_version(a_release_of("checkout", "release", PAGER).events[-1]))

    assert watched.concerned_by(alert(**labels)) == ([CHECKOUT] if is_found else [])


def test_a_release_that_has_ended_is_found_no_more() -> None:
    clock = Clock()
    watched = WatchedReleases(clock)
    aborted, completed = a_release_of(), a_release_of("search")
    aborted.act(AbortTrigger)
    completed.act(RollOutTrigger)
    for ledger in (aborted, completed):
        for sequence, event in enumerate(ledger.events):
            watched.note(entry_of(event, sequence))
    named = alert(pipeline="release")

    assert [key.name for key in watched.concerned_by(named)] == ["search"]
    clock.now_ms += OBSERVE_MS
    assert watched.concerned_by(named) == []
    assert len(watched) == 0


def test_a_release_that_follows_an_observed_one_outlives_it() -> None:
    clock = Clock()
    watched = WatchedReleases(clock)
    ledger = a_release_of()
    ledger.act(RollOutTrigger)
    watched.note(entry_of(ledger.events[-1]))
    ledger.save(a_gate({**EVERYONE, "passPercentage": 50}, name="checkout", releasePipelineID="release"))
    watched.note(entry_of(ledger.events[-1], 2))

    clock.now_ms += OBSERVE_MS

    assert watched.concerned_by(alert(gate="checkout")) == [CHECKOUT]


def test_nothing_is_found_after_the_log_went_back() -> None:
    watched = WatchedReleases(Clock())
    watched.note(entry_of(a_release_of("checkout", "release", PAGER).events[-1]))

    watched.clear()

    for labels in ({"gate": "checkout"}, {"pipeline": "release"}, {"team": "a", "severity": "critical"}):
        assert watched.concerned_by(alert(**labels)) == []


def test_a_release_with_too_many_keys_is_found_by_any_alert_that_names_nothing() -> None:
    many = [
        {"name": f"g{n}", "alert": {"matchLabels": {f"l{m}": f"{n}" for m in range(20)}}} for n in range(6)
    ]
    watched = WatchedReleases(Clock())
    watched.note(entry_of(a_release_of("checkout", "release", *many).events[-1]))

    assert watched.concerned_by(alert(other="x")) == [CHECKOUT]
    assert watched.concerned_by(alert(pipeline="other")) == []


def test_an_invalid_event_without_keys_concerns_nobody() -> None:
    headers = headers_of(a_release_of().events[-1], "")
    del headers[envelope.ALERT_KEYS]
    watched = WatchedReleases(Clock())

    watched.note(FeatureEntry(CHECKOUT, 1, headers, data=b"{}"))

    assert watched.concerned_by(alert(gate="checkout")) == []


@pytest.mark.parametrize("releases", [30, 300])
def test_an_alert_looks_at_what_has_all_labels_of_a_guardrail_however_many_have_one_of_them(
    monkeypatch: pytest.MonkeyPatch, releases: int
) -> None:
    monkeypatch.setattr(FeatureEvent, "model_validate_json", _unexpected)
    watched = WatchedReleases(Clock())
    for n in range(releases):
        labels = {"severity": "critical", "team": f"t{n % 10}"}
        watched.note(
            entry_of(
                a_release_of(f"gate{n}", f"p{n}", {**PAGER, "alert": {"matchLabels": labels}}).events[-1]
            )
        )

    of_team = watched.concerned_by(alert(severity="critical", team="t3"))

    assert [key.name for key in of_team] == [f"gate{n}" for n in range(3, releases, 10)]
    assert watched.concerned_by(alert(severity="critical", team="other")) == []
    for found in ({"gate": "gate7"}, {"pipeline": "p7"}):
        assert [key.name for key in watched.concerned_by(alert(**found))] == ["gate7"]
    looked_at = sum(
        len(watched._under.get(key, ())) for key in alert_keys(alert(severity="critical", team="t3"))
    )
    assert looked_at <= 2


def test_nothing_is_left_of_releases_that_have_ended() -> None:
    watched = WatchedReleases(Clock())
    for n in range(5):
        ledger = a_release_of(f"gate{n}", f"p{n % 2}", PAGER)
        ledger.act(AbortTrigger)
        for event in ledger.events:
            watched.note(entry_of(event))

    assert (len(watched), watched._members, watched._under, watched._key_of) == (0, {}, {}, {})


def _unexpected(*_: object, **__: object) -> FeatureEvent:
    raise AssertionError("no body is parsed")
