"""What follows from an alert for a release that it is about: a command, and the verdict of a guardrail."""

from typing import NamedTuple

from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import PauseTrigger, RollBackTrigger, TriggerCommand, derived_id
from sluiceway.contracts.guardrails import OnFailure
from sluiceway.contracts.measurements import Verdict, VerdictChanged
from sluiceway.pipelines.alert_matches import MatchedTrigger

from .evidence import AlertEvidence, AlertGuardrailEvidence, bounded_url

ACTOR = "monitor"
REASON_MAX = 2_000


class ReceivedAlert(NamedTuple):
    """An alert as it arrived: `source` published it; `sequence` and `time_ms` are its message's in ALERTS."""

    alert: Alert
    source: str
    sequence: int
    time_ms: int

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells this firing from others: an alert that its source repeats is the same one."""
        if self.alert.fingerprint is None:
            # After ALERTS went back, another alert has this sequence.
            return self.source, self.sequence, self.time_ms
        return self.source, self.alert.fingerprint, self.alert.starts_at

    @property
    def evidence(self) -> AlertEvidence:
        return AlertEvidence.of(self.alert, self.source, self.sequence)


def command_of(matched: MatchedTrigger, received: ReceivedAlert) -> TriggerCommand | None:
    """Return the command that an alert leads to; None if it only notifies."""
    id_ = derived_id("alert", *received.identity, matched.trigger.id)
    match matched.action:
        case OnFailure.ROLLBACK:
            return RollBackTrigger(
                id=id_,
                actor=ACTOR,
                reason=_reason(matched, received),
                trigger=matched.trigger.id,
                alert=received.evidence.to_jsonable(),
            )
        case OnFailure.PAUSE:
            evidence = AlertGuardrailEvidence(
                name=matched.guardrail, phase=matched.phase, alert=received.evidence
            )
            return PauseTrigger(
                id=id_,
                actor=ACTOR,
                reason=_reason(matched, received),
                trigger=matched.trigger.id,
                phase_id=matched.trigger.current_run.phase.id,
                guardrail=evidence.to_jsonable(),
            )
        case OnFailure.NOTIFY:
            return None


def verdict_of_alert(
    matched: MatchedTrigger, phase: str, guardrail: str, received: ReceivedAlert
) -> VerdictChanged:
    """Return that an alert has failed this guardrail."""
    return VerdictChanged(
        trigger=matched.trigger.id,
        phase_id=phase,
        guardrail=guardrail,
        time_ms=received.time_ms,
        before=Verdict.PENDING,
        verdict=Verdict.FAILED,
        action=matched.action,
        reason=_reason(matched, received),
        url=bounded_url(received.alert.url),
        alert=received.evidence.to_jsonable(),
    )


def _reason(matched: MatchedTrigger, received: ReceivedAlert) -> str:
    alert = received.alert
    labels = ", ".join(f"{label}={value}" for label, value in sorted(alert.labels.items()))
    guardrail = f"guardrail {matched.guardrail} of phase {matched.phase}: " if matched.guardrail else ""
    link = f", see {alert.url}" if alert.url else ""
    text = f"{guardrail}alert {alert.name} from {received.source} is firing ({labels}){link}"
    return text[:REASON_MAX]
