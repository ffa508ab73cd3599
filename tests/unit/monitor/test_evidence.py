"""The JSON of evidence, which the log keeps: field by field, in this order."""

import json
from typing import Any

from services.monitor.evidence import (
    ALERT_EVIDENCE_BYTES_MAX,
    AlertEvidence,
    AlertGuardrailEvidence,
    GuardrailEvidence,
)
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.measurements import Judgement, Measurement
from sluiceway.pipelines.guardrail_schedule import active_guardrails, round_of
from sluiceway.pipelines.simulation import simulated_trigger
from tests.support.builders import a_phase, a_pipeline

ALERT: dict[str, Any] = {
    "name": "ErrorsHigh",
    "status": "firing",
    "labels": {"gate": "checkout"},
    "annotations": {},
    "startsAt": "2026-11-23T18:49:01Z",
    "fingerprint": None,
    "url": "http://prometheus/graph",
}
ALERT_EVIDENCE = {**ALERT, "source": "alertmanager", "sequence": 7}


def test_a_guardrail_is_kept_with_the_measurement_that_decided() -> None:
    guardrail = {"name": "errors", "query": "up", "failureCondition": "> 1"}
    pipeline = a_pipeline(a_phase("dev", guardrails=[guardrail]))
    (active,) = active_guardrails(simulated_trigger(pipeline, 0, FeatureKey(FeatureKind.GATE, "checkout"), 0))
    good = Measurement(region="us", query="up", judgement=Judgement.SUCCESS, value=0, why="0 is fine")
    bad = Measurement(region="eu", query="up", judgement=Judgement.FAILURE, value=2, why="2 is too much")
    round_ = round_of(active, None, [good, bad], 5)

    evidence = GuardrailEvidence.of(active, round_, "http://prometheus/graph").to_jsonable()

    assert json.dumps(evidence) == (
        '{"name": "errors", "phase": "dev", "verdict": "failed", "region": "eu", "query": "up",'
        ' "judgement": "failure", "value": 2.0, "baseline": null, "samples": null, "why": "2 is too much",'
        ' "failureCondition": "> 1", "successCondition": null, "failureLimit": 0,'
        ' "tally": {"successes": 0, "failures": 1, "inconclusives": 0, "errors": 0,'
        ' "consecutiveErrors": 0, "last": "failure"}, "url": "http://prometheus/graph"}'
    )


def test_an_alert_is_kept_as_it_was_published_with_its_source_and_sequence() -> None:
    evidence = AlertEvidence.of(Alert.model_validate(ALERT), "alertmanager", 7)

    assert json.dumps(evidence.to_jsonable()) == json.dumps(ALERT_EVIDENCE)


def test_an_alert_guardrail_is_kept_with_its_alert() -> None:
    alert = AlertEvidence.of(Alert.model_validate(ALERT), "alertmanager", 7)

    evidence = AlertGuardrailEvidence(name="pager", phase="dev", alert=alert)

    expected = {"name": "pager", "phase": "dev", "alert": ALERT_EVIDENCE}
    assert json.dumps(evidence.to_jsonable()) == json.dumps(expected)


def test_a_large_alert_is_kept_with_the_starts_of_its_labels() -> None:
    labels = {"gate": "checkout", **{f"{n}{'y' * 300}": "x" * 300 for n in range(99)}}
    alert = Alert(
        name="Errors",
        labels=labels,
        annotations={"text": "x" * 30_000},
        starts_at=[1e15] * 12_000,
        url="http://prometheus/" + "x" * 9_000,
    )

    evidence = AlertEvidence.of(alert, "tests", 7)

    assert len(evidence.to_json()) < ALERT_EVIDENCE_BYTES_MAX
    assert evidence.labels["gate"] == "checkout"
    assert (evidence.annotations, evidence.url, evidence.name) == ({}, None, "Errors")


def test_evidence_of_a_long_query_fits_into_a_command() -> None:
    guardrail = {"name": "errors", "query": "up", "failureCondition": "> 1"}
    pipeline = a_pipeline(a_phase("dev", guardrails=[guardrail]))
    (active,) = active_guardrails(simulated_trigger(pipeline, 0, FeatureKey(FeatureKind.GATE, "checkout"), 0))
    long = "region|" * 30_000
    bad = Measurement(region="eu", query=long, judgement=Judgement.FAILURE, value=2, why=long)

    evidence = GuardrailEvidence.of(active, round_of(active, None, [bad], 5), f"http://p/{long}")

    assert len(evidence.to_json()) < 16_000
    assert evidence.query.startswith("region|")
    assert evidence.url is None
