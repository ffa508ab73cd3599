"""One alert → what it does to every release that it is about."""

import asyncio
import logging
import re
from typing import Any

from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert, AlertOutcome, AlertStatus, AnsweredAlert
from sluiceway.contracts.commands import PauseTrigger, RollBackTrigger, TriggerCommand, derived_id
from sluiceway.contracts.guardrails import OnFailure
from sluiceway.contracts.identifiers import NAME_PATTERN
from sluiceway.contracts.measurements import Verdict, VerdictChanged
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.pipelines.alert_matches import MatchedTrigger, match_alert

from . import metrics

log = logging.getLogger(__name__)

ACTOR = "monitor"
#: An alert that arrived before a trigger began by more than this cannot be about it; clocks differ.
CLOCKS_DIFFER_MS = 5_000
#: What an action is called once it is done.
DONE = {OnFailure.ROLLBACK: "rolled_back", OnFailure.PAUSE: "paused", OnFailure.NOTIFY: "notified"}


class AlertHandler:
    """Answers alerts."""

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        commands: CommandClient,
        store: MeasurementStore,
        clock: Clock,
    ) -> None:
        self._features = features
        self._catalogue = catalogue
        self._commands = commands
        self._store = store
        self._clock = clock

    async def receive(self, alert: Alert, subject: str, sequence: int, time_ms: int) -> None:
        """Roll back, or pause, what an alert is about; `RetryLater` until each command is answered.

        `sequence` and `time_ms` are those of its message in ALERTS.
        """
        source = _source(subject)
        metrics.ALERTS.labels("received").inc()
        found = await self._matching(alert) if alert.status is AlertStatus.FIRING else []
        matches = [one for one in found if one.trigger.created_ms <= time_ms + CLOCKS_DIFFER_MS]
        evidence = {**alert.to_jsonable(), "source": source, "sequence": sequence}
        await asyncio.gather(*(self._follow(one, alert, evidence, time_ms) for one in matches))
        outcome = _outcome(alert, found, matches)
        metrics.ALERTS.labels(outcome).inc()
        if outcome is AlertOutcome.UNMATCHED:
            log.info("alert %s from %s matches no release that is out: %s", alert.name, source, alert.labels)
        answered = AnsweredAlert(
            alert=alert,
            source=source,
            sequence=sequence,
            time_ms=time_ms,
            outcome=outcome,
            triggers=tuple(one.trigger.id for one in matches),
        )
        await self._store.store_answer(answered)

    async def _matching(self, alert: Alert) -> list[MatchedTrigger]:
        await asyncio.gather(self._features.catch_up(), self._catalogue.catch_up())
        regions, now_ms = self._catalogue.catalogue().regions, self._clock()
        features = [
            entry.event.feature
            for entry in self._features
            if entry.is_active or entry.observed_until_ms > now_ms
        ]
        return [one for feature in features if (one := match_alert(alert, feature, regions, now_ms))]

    async def _follow(
        self, found: MatchedTrigger, alert: Alert, evidence: dict[str, Any], time_ms: int
    ) -> None:
        command = _command(found, alert, evidence)
        if command:
            reply = await self._commands.send(command)
            if reply.refusal and reply.refusal.code is RefusalCode.UNAVAILABLE:
                raise Unavailable(reply.refusal.message)
            _count(reply, found)
        else:
            metrics.ALERTS.labels(DONE[found.action]).inc()
        if found.guardrail and found.phase:
            metrics.GUARDRAIL_ACTIONS.labels(found.action).inc()
            await self._store.store_verdict(_verdict(found, alert, evidence, time_ms))


def _outcome(alert: Alert, found: list[MatchedTrigger], matches: list[MatchedTrigger]) -> AlertOutcome:
    if alert.status is AlertStatus.RESOLVED:
        return AlertOutcome.RESOLVED
    if matches:
        return AlertOutcome.MATCHED
    return AlertOutcome.BEFORE_RELEASE if found else AlertOutcome.UNMATCHED


def _command(found: MatchedTrigger, alert: Alert, evidence: dict[str, Any]) -> TriggerCommand | None:
    said: dict[str, Any] = {
        "id": derived_id("alert", *_identity(alert, evidence), found.trigger.id),
        "actor": ACTOR,
        "reason": _reason(found, alert, evidence["source"]),
        "trigger": found.trigger.id,
    }
    match found.action:
        case OnFailure.ROLLBACK:
            return RollBackTrigger(**said, alert=evidence)
        case OnFailure.PAUSE:
            about = {"name": found.guardrail, "phase": found.phase, "alert": evidence}
            return PauseTrigger(**said, phase_id=found.trigger.current_run.phase.id, guardrail=about)
        case OnFailure.NOTIFY:
            return None


def _identity(alert: Alert, evidence: dict[str, Any]) -> tuple[object, ...]:
    """Return what tells this firing from others: an alert that is repeated is the same one."""
    if alert.fingerprint is None:
        return (evidence["sequence"],)
    return alert.fingerprint, alert.starts_at


def _source(subject: str) -> str:
    source = subject.removeprefix(subjects.alert(""))
    if not re.match(NAME_PATTERN, source):
        raise Rejected(f"{source!r} is no source of alerts: one token of letters, digits, - and _")
    return source


def _reason(found: MatchedTrigger, alert: Alert, source: str) -> str:
    about = ", ".join(f"{key}={value}" for key, value in sorted(alert.labels.items()))
    guardrail = f"guardrail {found.guardrail} of phase {found.phase}: " if found.guardrail else ""
    link = f", see {alert.url}" if alert.url else ""
    return f"{guardrail}alert {alert.name} from {source} is firing ({about}){link}"[:2_000]


def _verdict(found: MatchedTrigger, alert: Alert, evidence: dict[str, Any], time_ms: int) -> VerdictChanged:
    assert found.guardrail
    assert found.phase
    return VerdictChanged(
        trigger=found.trigger.id,
        phase_id=found.phase,
        guardrail=found.guardrail,
        time_ms=time_ms,
        before=Verdict.PENDING,
        verdict=Verdict.FAILED,
        action=found.action,
        reason=_reason(found, alert, evidence["source"]),
        url=alert.url,
        alert=evidence,
    )


def _count(reply: Reply, found: MatchedTrigger) -> None:
    if reply.outcome is Outcome.REFUSED and reply.refusal:
        metrics.ALERTS.labels("refused").inc()
        log.info("%s: nothing was done: %s", found.trigger.id, reply.refusal.message)
        return
    metrics.ALERTS.labels(DONE[found.action]).inc()
    log.warning("%s is %s", found.trigger.id, DONE[found.action].replace("_", " "))
