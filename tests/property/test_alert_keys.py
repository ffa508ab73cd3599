"""The index of releases finds everything that `match_alert` finds among all of them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.monitor.watched_releases import WatchedReleases
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import AbortTrigger, RollOutTrigger, SkipPhase
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import DynamicConfig, FeatureGate
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.pipelines.alert_matches import match_alert
from tests.support.builders import NOW, Ledger, a_catalogue, a_phase, a_pipeline, a_region

LABELS = ("alertname", "team", "severity", "gate", "dynamic_config", "pipeline", "region")
VALUES = ("a", "b", "release")
NAMES = ("a", "b")
REGIONS = {"a": a_region("a")}
OBSERVE_MS = 1_000

LABEL_SETS = st.dictionaries(st.sampled_from(LABELS), st.sampled_from(VALUES), max_size=4)
GUARDRAILS = st.lists(
    LABEL_SETS.filter(bool).map(lambda labels: {"alert": {"matchLabels": labels}}), max_size=2
).map(lambda guardrails: [{"name": f"g{n}", **guardrail} for n, guardrail in enumerate(guardrails)])
ENDINGS = st.sampled_from((None, SkipPhase, RollOutTrigger, AbortTrigger))
RELEASES = st.tuples(
    st.sampled_from((FeatureGate, DynamicConfig)),
    st.sampled_from(NAMES),
    st.lists(GUARDRAILS, min_size=2, max_size=2),
    ENDINGS,
)


def events_of(release: tuple[Any, ...]) -> list[FeatureEvent]:
    """Return the log of a feature that is, or was, released through two phases."""
    model, name, guardrails, ending = release
    phases = [a_phase(f"p{n}", guardrails=of_phase) for n, of_phase in enumerate(guardrails)]
    ledger = Ledger(a_catalogue(a_pipeline(*phases, observe_for_ms=OBSERVE_MS)))
    rule = {"name": "all", "conditions": [{"type": "public"}]}
    if model is DynamicConfig:
        rule["returnValue"] = {}  # type: ignore[assignment]
    for rules in ([], [rule]):
        document = {"name": name, "rules": rules, **({"releasePipelineID": "release"} if rules else {})}
        ledger.save(model.model_validate(document))
    if ending:
        ledger.act(ending)
    return ledger.events


@given(
    releases=st.lists(RELEASES, max_size=4),
    labels=LABEL_SETS,
    name=st.sampled_from(VALUES),
    after_ms=st.sampled_from((0, OBSERVE_MS)),
)
def test_the_index_finds_what_a_look_at_all_finds(
    releases: list[tuple[Any, ...]], labels: dict[str, str], name: str, after_ms: int
) -> None:
    alert, now_ms = Alert(name=name, labels=labels), NOW + after_ms
    watched = WatchedReleases(lambda: now_ms)
    newest: dict[Any, FeatureEvent] = {}
    for release in releases:
        for event in events_of(release):
            newest[event.feature.key] = event
            watched.note(FeatureEntry(event.feature.key, 1, headers_of(event, ""), data=event.to_json()))

    found = {key for key in watched.concerned_by(alert) if _matches(alert, newest[key], now_ms)}

    assert found == {key for key, event in newest.items() if _matches(alert, event, now_ms)}


def _matches(alert: Alert, event: FeatureEvent, now_ms: int) -> bool:
    return match_alert(alert, event.feature, REGIONS, now_ms) is not None
