"""One alert → the roll-back of every release that it is about."""

import asyncio
import logging
import re
from typing import Any

from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert, AlertStatus
from sluiceway.contracts.commands import RollBackTrigger
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import NAME_PATTERN
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.commanding import Commander
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.pipelines.matching import matches
from sluiceway.telemetry import metrics

log = logging.getLogger(__name__)

ACTOR = "monitor"
#: An alert that is older than a trigger by more than this cannot be about it; clocks differ.
CLOCKS_DIFFER_MS = 5_000


class Handlers:
    """Answers alerts with roll-backs."""

    def __init__(self, features: FeatureView, catalogue: CatalogueView, commander: Commander) -> None:
        self._features = features
        self._catalogue = catalogue
        self._commander = commander

    async def receive(self, alert: Alert, subject: str, sequence: int, time_ms: int) -> None:
        """Roll back what an alert is about; `RetryLater` until each command is answered.

        `sequence` and `time_ms` are those of its message in ALERTS.
        """
        source = _source(subject)
        metrics.ALERTS.labels("received").inc()
        if alert.status is AlertStatus.RESOLVED:
            metrics.ALERTS.labels("resolved").inc()
            return
        triggers = await self._matching(alert, time_ms)
        if not triggers:
            metrics.ALERTS.labels("unmatched").inc()
            log.info("alert %s from %s matches no active trigger: %s", alert.name, source, alert.labels)
            return
        metrics.ALERTS.labels("matched").inc()
        await asyncio.gather(*(self._roll_back(trigger, alert, source, sequence) for trigger in triggers))

    async def _matching(self, alert: Alert, time_ms: int) -> list[Trigger]:
        await asyncio.gather(self._features.reached_end(), self._catalogue.reached_end())
        regions = self._catalogue.catalogue().regions
        features = [entry.event.feature for entry in self._features if entry.is_active]
        return [
            feature.trigger
            for feature in features
            if feature.trigger
            and feature.trigger.created_ms <= time_ms + CLOCKS_DIFFER_MS
            and matches(alert, feature, regions)
        ]

    async def _roll_back(self, trigger: Trigger, alert: Alert, source: str, sequence: int) -> None:
        command = RollBackTrigger(
            id=f"alert-{sequence}-{trigger.id}",
            actor=ACTOR,
            reason=_reason(alert, source),
            trigger=trigger.id,
            alert={**_evidence(alert), "source": source, "sequence": sequence},
        )
        reply = await self._commander.send(command)
        if reply.refusal and reply.refusal.code is RefusalCode.UNAVAILABLE:
            raise Unavailable(reply.refusal.message)
        _count(reply, trigger)


def _source(subject: str) -> str:
    source = subject.removeprefix(subjects.alert(""))
    if not re.match(NAME_PATTERN, source):
        raise Rejected(f"{source!r} is no source of alerts: one token of letters, digits, - and _")
    return source


def _reason(alert: Alert, source: str) -> str:
    about = ", ".join(f"{key}={value}" for key, value in sorted(alert.labels.items()))
    return f"alert {alert.name} from {source} is firing ({about})"[:2_000]


def _evidence(alert: Alert) -> dict[str, Any]:
    return alert.to_jsonable()


def _count(reply: Reply, trigger: Trigger) -> None:
    if reply.outcome is Outcome.REFUSED and reply.refusal:
        metrics.ALERTS.labels("refused").inc()
        log.info("%s was not rolled back: %s", trigger.id, reply.refusal.message)
        return
    metrics.ALERTS.labels("rolled_back").inc()
    log.warning("%s is rolled back", trigger.id)
