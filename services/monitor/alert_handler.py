"""Answers alerts: rolls back or pauses each release that is out and that an alert is about.

The command comes first. It follows from the views as they are, since the scheduler decides about it by the
state of the release; meanwhile the views catch up, and what they lacked is acted on then. Only the monitor
decides by the scopes of sources: they are read before the command.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import NamedTuple

from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert, AlertOutcome, AlertStatus, AnsweredAlert
from sluiceway.contracts.envelope import rfc3339
from sluiceway.contracts.guardrails import OnFailure
from sluiceway.contracts.identifiers import NAME_PATTERN, TriggerId
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from sluiceway.errors import Rejected, Unavailable
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.pipelines.alert_matches import MatchedTrigger
from sluiceway.pipelines.alert_times import CLOCKS_DIFFER_MS
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.tasks import all_done

from . import metrics
from .alert_commands import ReceivedAlert, command_of, verdict_of_alert
from .alert_matcher import AlertMatcher, Look
from .release_commands import send_until_effective

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

#: Releases that one alert acts on at the same time; no more of them are in memory.
RELEASES_AT_ONCE = 32
#: Releases that the record of an alert lists.
LISTED_MAX = 1_000
#: Releases that a log line names, and characters of an alert's labels in it.
NAMED_MAX = 10
LOGGED_LABELS_MAX = 1_000
#: What an action is called once it is done.
DONE = {OnFailure.ROLLBACK: "rolled_back", OnFailure.PAUSE: "paused", OnFailure.NOTIFY: "notified"}


class Deed(NamedTuple):
    """What an alert has led to."""

    trigger: TriggerId
    action: OnFailure


class AlertHandler:
    """Answers alerts."""

    def __init__(
        self,
        matcher: AlertMatcher,
        commands: CommandClient,
        store: MeasurementStore,
        check_clock: Callable[[], None] = lambda: None,
    ) -> None:
        """`check_clock` raises `RetryLater` while the clock is not trusted."""
        self._matcher = matcher
        self._commands = commands
        self._store = store
        self._check_clock = check_clock

    async def receive(self, alert: Alert, subject: str, sequence: int, time_ms: int) -> None:
        """Roll back, or pause, what an alert is about; `RetryLater` until each command is answered.

        `sequence` and `time_ms` are those of its message in ALERTS.
        """
        metrics.ALERTS.labels("received").inc()
        received = ReceivedAlert(alert, _source(subject), sequence, time_ms)
        if alert.status is AlertStatus.RESOLVED:
            await self._record(_answered(received, AlertOutcome.RESOLVED))
            return
        deeds: dict[Deed, None] = {}
        look = await self._act_on_all(received, deeds)
        if AlertOutcome.BEFORE_RELEASE in {found.outcome for found in look.found.values()}:
            self._check_clock()  # without a trusted clock an alert may roll back, but not count as too old
        await self._record(_answer(look, deeds))

    async def _act_on_all(self, received: ReceivedAlert, deeds: dict[Deed, None]) -> Look:
        """Act on all that the views show, then on what they lacked; return the look at the whole.

        A view that is known to be behind is not acted on: it catches up first. So does the catalogue if it
        has scopes, since a scope keeps a source from what the scheduler would do.
        """
        await self._matcher.read_scopes()
        before = None
        if self._matcher.is_current:
            before = self._matcher.look(received)
            await all_done(self._act_on(before, None, deeds), self._matcher.catch_up())
        else:
            await self._matcher.catch_up()
        look = self._matcher.look(received)
        await self._act_on(look, before, deeds, is_complete=True)
        if look.invalid:
            await self._matcher.catch_up()
            look, before = self._matcher.look(received), look
            await self._act_on(look, before, deeds, is_complete=True)
        return look

    async def _act_on(
        self, look: Look, before: Look | None, deeds: dict[Deed, None], *, is_complete: bool = False
    ) -> None:
        """Act on what a look finds and `before` has not; an error does not keep it from the others."""
        matches = self._matcher.matches(look, before)

        async def act() -> None:
            for release in matches:
                if release is None:
                    await asyncio.sleep(0)  # a release may be large: others go on in between
                elif not is_complete and release.matched.action is OnFailure.NOTIFY:
                    del look.found[release.key]  # nobody decides about it, so it waits for the complete view
                elif await self._act(release.matched, look.received, deeds):
                    continue
                elif is_complete:
                    raise Unavailable(f"{release.matched.trigger.id}: its phase has changed meanwhile")
                else:
                    del look.found[release.key]

        await all_done(*(act() for _ in range(min(RELEASES_AT_ONCE, len(look.candidates)))))

    async def _act(self, matched: MatchedTrigger, received: ReceivedAlert, deeds: dict[Deed, None]) -> bool:
        """Send the command, if one follows, and record the verdict of the guardrail, if one matched.

        A command that is refused has done nothing: perhaps the view was behind. False if it was meant for
        another phase than the current one: the alert has to be matched with that one.
        """
        deed = Deed(matched.trigger.id, matched.action)
        if deed in deeds:
            return True
        if command := command_of(matched, received):
            reply = await send_until_effective(self._commands, command, received.time_ms - CLOCKS_DIFFER_MS)
            _count(reply, matched)
            if reply.refusal:
                return reply.refusal.code is not RefusalCode.STALE_PHASE
        else:
            metrics.ALERTS.labels(DONE[matched.action]).inc()
        deeds[deed] = None
        if matched.guardrail and matched.phase:
            metrics.GUARDRAIL_ACTIONS.labels(matched.action).inc()
            await self._store.store_verdict(
                verdict_of_alert(matched, matched.phase, matched.guardrail, received)
            )
        return True

    async def _record(self, answered: AnsweredAlert) -> None:
        metrics.ALERTS.labels(answered.outcome).inc()
        _log_without_effect(answered)
        await self._store.store_answer(answered)


def _answer(look: Look, deeds: dict[Deed, None]) -> AnsweredAlert:
    """Return the record of an alert: what it has led to, and what it is about by the complete views."""
    by_outcome: dict[AlertOutcome, dict[TriggerId, None]] = {outcome: {} for outcome in AlertOutcome}
    by_outcome[AlertOutcome.MATCHED] = {deed.trigger: None for deed in deeds}
    for found in look.found.values():
        if found.trigger and found.trigger not in by_outcome[AlertOutcome.MATCHED]:
            by_outcome[found.outcome][found.trigger] = None
    matched, later, beyond = (
        tuple(by_outcome[outcome])
        for outcome in (AlertOutcome.MATCHED, AlertOutcome.BEFORE_RELEASE, AlertOutcome.OUT_OF_SCOPE)
    )
    if matched:
        outcome = AlertOutcome.MATCHED
    elif later:
        outcome = AlertOutcome.BEFORE_RELEASE
    else:
        outcome = AlertOutcome.OUT_OF_SCOPE if beyond else AlertOutcome.UNMATCHED
    return _answered(look.received, outcome, matched, later, beyond)


def _answered(
    received: ReceivedAlert,
    outcome: AlertOutcome,
    matched: tuple[TriggerId, ...] = (),
    later: tuple[TriggerId, ...] = (),
    beyond: tuple[TriggerId, ...] = (),
) -> AnsweredAlert:
    return AnsweredAlert(
        alert=received.alert,
        source=received.source,
        sequence=received.sequence,
        time_ms=received.time_ms,
        outcome=outcome,
        triggers=matched[:LISTED_MAX],
        later_triggers=later[:LISTED_MAX],
        triggers_out_of_scope=beyond[:LISTED_MAX],
        unlisted=sum(max(0, len(each) - LISTED_MAX) for each in (matched, later, beyond)),
    )


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


def _source(subject: str) -> str:
    source = subject.removeprefix(subjects.alert(""))
    if source.startswith(f"{subjects.WEBHOOK_SOURCE}."):
        return subjects.WEBHOOK_SOURCE
    if not re.match(NAME_PATTERN, source):
        raise Rejected(
            f"invalid source of alerts {source!r} in the subject: use one token of letters, digits, - and _"
        )
    return source


def _count(reply: Reply, matched: MatchedTrigger) -> None:
    if reply.outcome is Outcome.REFUSED and reply.refusal:
        metrics.ALERTS.labels("refused").inc()
        log.info("%s: alert changed nothing: %s", matched.trigger.id, reply.refusal.message)
        return
    metrics.ALERTS.labels(DONE[matched.action]).inc()
    done, before = DONE[matched.action].replace("_", " "), reply.outcome is Outcome.UNCHANGED
    log.warning("%s: %s by an alert%s", matched.trigger.id, done, ", or was before it" if before else "")
