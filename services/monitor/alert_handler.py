"""Matches an alert with the releases that are out, and rolls back or pauses each one that it is about."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert, AlertOutcome, AlertStatus, AnsweredAlert
from sluiceway.contracts.commands import PauseTrigger, RollBackTrigger, TriggerCommand, derived_id
from sluiceway.contracts.envelope import rfc3339
from sluiceway.contracts.guardrails import OnFailure
from sluiceway.contracts.identifiers import NAME_PATTERN, TriggerId
from sluiceway.contracts.measurements import Verdict, VerdictChanged
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import Rejected
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.pipelines.alert_matches import MatchedTrigger, match_alert
from sluiceway.pipelines.alert_scopes import is_in_scope, unlimited
from sluiceway.pipelines.alert_times import CLOCKS_DIFFER_MS
from sluiceway.repeated_logs import RepeatedLogs

from . import metrics
from .evidence import AlertEvidence, AlertGuardrailEvidence, bounded_url
from .release_commands import send_until_effective

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

ACTOR = "monitor"
REASON_MAX = 2_000
#: Releases that the record of an alert lists.
LISTED_MAX = 1_000
#: Releases that a log line names, and characters of an alert's labels in it.
NAMED_MAX = 10
LOGGED_LABELS_MAX = 1_000
#: What an action is called once it is done.
DONE = {OnFailure.ROLLBACK: "rolled_back", OnFailure.PAUSE: "paused", OnFailure.NOTIFY: "notified"}


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


class AlertHandler:
    """Answers alerts."""

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        commands: CommandClient,
        store: MeasurementStore,
        clock: Clock,
        check_clock: Callable[[], None] = lambda: None,
        *,
        requires_sources: bool = False,
    ) -> None:
        """`check_clock` raises `RetryLater` while the clock is not trusted.

        `requires_sources`: a source without a document may take nothing back.
        """
        self._features = features
        self._catalogue = catalogue
        self._commands = commands
        self._store = store
        self._clock = clock
        self._check_clock = check_clock
        self._requires_sources = requires_sources

    async def receive(self, alert: Alert, subject: str, sequence: int, time_ms: int) -> None:
        """Roll back, or pause, what an alert is about; `RetryLater` until each command is answered.

        `sequence` and `time_ms` are those of its message in ALERTS.
        """
        metrics.ALERTS.labels("received").inc()
        received = ReceivedAlert(alert, _source(subject), sequence, time_ms)
        found = await self._match(received) if alert.status is AlertStatus.FIRING else []
        is_allowed = self._scope(received)
        in_scope = list(filter(is_allowed, found))
        matches = [matched for matched in in_scope if not matched.is_before]
        later = [matched for matched in in_scope if matched.is_before]
        beyond = [matched for matched in found if not is_allowed(matched)]
        await asyncio.gather(*(self._act(matched, received) for matched in matches))
        if len(matches) < len(in_scope):
            self._check_clock()  # without a trusted clock an alert may roll back, but not count as too old
        outcome = _outcome(alert, found, in_scope, matches)
        metrics.ALERTS.labels(outcome).inc()
        answered = AnsweredAlert(
            alert=alert,
            source=received.source,
            sequence=sequence,
            time_ms=time_ms,
            outcome=outcome,
            triggers=_listed(matches),
            later_triggers=_listed(later),
            triggers_out_of_scope=_listed(beyond),
            unlisted=sum(max(0, len(each) - LISTED_MAX) for each in (matches, later, beyond)),
        )
        _log_without_effect(answered)
        await self._store.store_answer(answered)

    async def _match(self, received: ReceivedAlert) -> list[MatchedTrigger]:
        """Return the releases that an alert is about, including those that started after it."""
        await asyncio.gather(self._features.catch_up(), self._catalogue.catch_up())
        regions, now_ms = self._catalogue.catalogue().regions, self._clock()
        features = [
            entry.event.feature
            for entry in self._features
            if entry.is_active or entry.observed_until_ms > now_ms
        ]
        found = (match_alert(received.alert, f, regions, now_ms, received.time_ms) for f in features)
        return [matched for matched in found if matched]

    def _scope(self, received: ReceivedAlert) -> Callable[[MatchedTrigger], bool]:
        """Return whether the source of an alert may take a release back, by the catalogue as it is now."""
        catalogue, default = self._catalogue.catalogue(), None
        if not self._requires_sources:
            default = unlimited(received.source)
        source = catalogue.alert_sources.get(received.source, default)
        labels, regions = received.alert.labels, catalogue.regions
        return lambda matched: is_in_scope(source, labels, matched.trigger, regions)

    async def _act(self, matched: MatchedTrigger, received: ReceivedAlert) -> None:
        """Send the command, if one follows, and record the verdict of the guardrail, if one matched."""
        command = _command(matched, received)
        if command:
            reply = await send_until_effective(self._commands, command, received.time_ms - CLOCKS_DIFFER_MS)
            _count(reply, matched)
        else:
            metrics.ALERTS.labels(DONE[matched.action]).inc()
        if matched.guardrail and matched.phase:
            metrics.GUARDRAIL_ACTIONS.labels(matched.action).inc()
            await self._store.store_verdict(
                _verdict_changed(matched, matched.phase, matched.guardrail, received)
            )


def _listed(matches: list[MatchedTrigger]) -> tuple[TriggerId, ...]:
    return tuple(matched.trigger.id for matched in matches[:LISTED_MAX])


def _outcome(
    alert: Alert, found: list[MatchedTrigger], in_scope: list[MatchedTrigger], matches: list[MatchedTrigger]
) -> AlertOutcome:
    if alert.status is AlertStatus.RESOLVED:
        return AlertOutcome.RESOLVED
    if matches:
        return AlertOutcome.MATCHED
    if in_scope:
        return AlertOutcome.BEFORE_RELEASE
    return AlertOutcome.OUT_OF_SCOPE if found else AlertOutcome.UNMATCHED


def _log_without_effect(answered: AnsweredAlert) -> None:
    """Log an alert that rolls nothing back; one of a kind of each source at a time; all are listed."""
    alert, kind = answered.alert, (answered.source, answered.outcome)
    if answered.outcome is AlertOutcome.UNMATCHED:
        labels = str(alert.labels)[:LOGGED_LABELS_MAX]
        repeated.info(
            kind, "alert %s from %s matches no release: labels %s", alert.name, answered.source, labels
        )
    if answered.triggers_out_of_scope:
        repeated.warning(
            (*kind, "scope"),
            "alert %s from %s rolls nothing back in %s: that is outside the scope of this source",
            alert.name,
            answered.source,
            _named(answered.triggers_out_of_scope),
        )
    if answered.later_triggers:
        repeated.warning(
            kind,
            "alert %s from %s, which started at %s, rolls nothing back in %s: the candidate came later",
            alert.name,
            answered.source,
            str(alert.starts_at or rfc3339(answered.time_ms))[:LOGGED_LABELS_MAX],
            _named(answered.later_triggers),
        )


def _named(triggers: tuple[str, ...]) -> str:
    others = f" and {len(triggers) - NAMED_MAX} others" if len(triggers) > NAMED_MAX else ""
    return ", ".join(triggers[:NAMED_MAX]) + others


def _command(matched: MatchedTrigger, received: ReceivedAlert) -> TriggerCommand | None:
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


def _source(subject: str) -> str:
    source = subject.removeprefix(subjects.alert(""))
    if source.startswith(f"{subjects.WEBHOOK_SOURCE}."):
        return subjects.WEBHOOK_SOURCE
    if not re.match(NAME_PATTERN, source):
        raise Rejected(
            f"invalid source of alerts {source!r} in the subject: use one token of letters, digits, - and _"
        )
    return source


def _reason(matched: MatchedTrigger, received: ReceivedAlert) -> str:
    alert = received.alert
    labels = ", ".join(f"{label}={value}" for label, value in sorted(alert.labels.items()))
    guardrail = f"guardrail {matched.guardrail} of phase {matched.phase}: " if matched.guardrail else ""
    link = f", see {alert.url}" if alert.url else ""
    text = f"{guardrail}alert {alert.name} from {received.source} is firing ({labels}){link}"
    return text[:REASON_MAX]


def _verdict_changed(
    matched: MatchedTrigger, phase: str, guardrail: str, received: ReceivedAlert
) -> VerdictChanged:
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


def _count(reply: Reply, matched: MatchedTrigger) -> None:
    if reply.outcome is Outcome.REFUSED and reply.refusal:
        metrics.ALERTS.labels("refused").inc()
        log.info("%s: alert changed nothing: %s", matched.trigger.id, reply.refusal.message)
        return
    metrics.ALERTS.labels(DONE[matched.action]).inc()
    done, before = DONE[matched.action].replace("_", " "), reply.outcome is Outcome.UNCHANGED
    log.warning("%s: %s by an alert%s", matched.trigger.id, done, ", or was before it" if before else "")
