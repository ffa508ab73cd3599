"""What a command of the monitor is based on, as the log keeps it in `alert` and `guardrail`."""

from typing import Self

from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.identifiers import Name
from sluiceway.contracts.measurements import Judgement, Measurement, Round, Tally, Verdict
from sluiceway.contracts.models import WireModel
from sluiceway.contracts.short_texts import json_bytes, start_of
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail

#: Bytes of a query, of another text, and of an address in evidence.
QUERY_BYTES_MAX = 8_000
TEXT_BYTES_MAX = 2_000
URL_BYTES_MAX = 8_000
#: Bytes of an alert in evidence, and of each part of a label in a larger one.
ALERT_EVIDENCE_BYTES_MAX = 48 * 1024
LABEL_BYTES_MAX = 200


class GuardrailEvidence(WireModel):
    """A metric guardrail with the measurement that decided, so that a reader can check it."""

    name: Name
    phase: Name
    verdict: Verdict
    region: str
    query: str
    judgement: Judgement
    value: float | None
    baseline: float | None
    samples: float | None
    why: str
    failure_condition: str | None
    success_condition: str | None
    failure_limit: int
    tally: Tally
    #: The query in Prometheus; None if no Prometheus is configured.
    url: str | None

    @classmethod
    def of(cls, active: ActiveGuardrail, round_: Round, url: str | None) -> Self:
        """Return the evidence of a round: that of the region that caused its verdict."""
        guardrail, measurement = active.guardrail, bounded_measurement(decisive_measurement(round_))
        return cls(
            name=guardrail.name,
            phase=active.phase.id,
            verdict=round_.verdict,
            region=measurement.region,
            query=measurement.query,
            judgement=measurement.judgement,
            value=measurement.value,
            baseline=measurement.baseline,
            samples=measurement.samples,
            why=measurement.why,
            failure_condition=guardrail.failure_condition,
            success_condition=guardrail.success_condition,
            failure_limit=guardrail.failure_limit,
            tally=round_.tallies[round_.region],
            url=bounded_url(url),
        )


class AlertEvidence(Alert):
    """An alert, who published it, and the sequence of its message in ALERTS."""

    source: str
    sequence: int

    @classmethod
    def of(cls, alert: Alert, source: str, sequence: int) -> Self:
        """Return an alert with its origin; of a large one, only its labels and the starts of its texts."""
        evidence = cls(**dict(alert), source=source, sequence=sequence)
        return evidence if len(evidence.to_json()) <= ALERT_EVIDENCE_BYTES_MAX else evidence._shortened()

    def _shortened(self) -> Self:
        labels = {
            start_of(name, LABEL_BYTES_MAX): start_of(value, LABEL_BYTES_MAX)
            for name, value in self.labels.items()
        }
        starts_at = start_of(str(self.starts_at), LABEL_BYTES_MAX)
        url = bounded_url(self.url)
        return self.model_copy(
            update={"labels": labels, "annotations": {}, "starts_at": starts_at, "url": url}
        )


class AlertGuardrailEvidence(WireModel):
    """An alert guardrail, and the alert that it waits for."""

    name: Name | None
    phase: Name | None
    alert: AlertEvidence


def bounded_url(url: str | None) -> str | None:
    """Return an address, or None if it is too long: cut, it would lead elsewhere."""
    return url if url is None or json_bytes(url) <= URL_BYTES_MAX else None


def bounded_measurement(measurement: Measurement) -> Measurement:
    """Return a measurement whose texts have a bounded length."""
    return measurement.model_copy(
        update={
            "query": start_of(measurement.query, QUERY_BYTES_MAX),
            "why": start_of(measurement.why, TEXT_BYTES_MAX),
        }
    )


def decisive_measurement(round_: Round) -> Measurement:
    """Return the measurement of the region that caused the verdict."""
    return next(measurement for measurement in round_.measurements if measurement.region == round_.region)
