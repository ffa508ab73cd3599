"""What a command of the monitor is based on, as the log keeps it in `alert` and `guardrail`."""

from typing import Self

from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.identifiers import Name
from sluiceway.contracts.measurements import Judgement, Measurement, Round, Tally, Verdict
from sluiceway.contracts.models import WireModel
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail


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
        guardrail, measurement = active.guardrail, decisive_measurement(round_)
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
            url=url,
        )


class AlertEvidence(Alert):
    """An alert, who published it, and the sequence of its message in ALERTS."""

    source: str
    sequence: int

    @classmethod
    def of(cls, alert: Alert, source: str, sequence: int) -> Self:
        """Return an alert with its origin."""
        return cls(**dict(alert), source=source, sequence=sequence)


class AlertGuardrailEvidence(WireModel):
    """An alert guardrail, and the alert that it waits for."""

    name: Name | None
    phase: Name | None
    alert: AlertEvidence


def decisive_measurement(round_: Round) -> Measurement:
    """Return the measurement of the region that caused the verdict."""
    return next(measurement for measurement in round_.measurements if measurement.region == round_.region)
