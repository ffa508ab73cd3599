"""What follows from a guardrail's verdict: a command, a record of it, or nothing."""

import logging
from urllib.parse import quote

from sluiceway.contracts.commands import PauseTrigger, RollBackTrigger, TriggerCommand, derived_id
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.guardrails import OnFailure, OnInconclusive
from sluiceway.contracts.measurements import EVERYWHERE, Measurement, Round, Verdict, VerdictChanged
from sluiceway.contracts.replies import Outcome
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail
from sluiceway.pipelines.guardrail_verdicts import action_of
from sluiceway.prometheus import redacted_url

from . import metrics
from .evidence import GuardrailEvidence, bounded_measurement, bounded_url, decisive_measurement
from .release_commands import send_until_effective

log = logging.getLogger(__name__)

ACTOR = "monitor"
REASON_MAX = 2_000


class GuardrailActions:
    """Rolls back or pauses as a guardrail says, once, and records why."""

    def __init__(self, commands: CommandClient, store: MeasurementStore, prometheus_url: str | None) -> None:
        self._commands = commands
        self._store = store
        self._prometheus = redacted_url(prometheus_url) if prometheus_url else None

    async def act(
        self, active: ActiveGuardrail, round_: Round, before: Verdict, *, is_due: bool = False
    ) -> None:
        """Act on a guardrail's newest round. `before`: its verdict until then; `is_due`: the bake is over.

        `Unavailable` if a command was not answered, or its effect cannot be seen. Another call with the
        same verdict changes nothing: the command has the same id.
        """
        action = action_of(round_.verdict, active.guardrail, is_due=is_due)
        command = self._command(action, active, round_)
        is_accepted = await self._send(command, active.since_ms) if command else False
        if is_accepted or round_.verdict is not before:
            await self._record(active, round_, before, action)

    async def _send(self, command: TriggerCommand, since_ms: int) -> bool:
        """Send a command; return whether it changed something."""
        reply = await send_until_effective(self._commands, command, since_ms)
        if reply.refusal:
            log.info("%s: %s was refused: %s", command.trigger, command.verb, reply.refusal.message)
        return reply.outcome is Outcome.ACCEPTED

    def _command(
        self, action: OnFailure | OnInconclusive | None, active: ActiveGuardrail, round_: Round
    ) -> TriggerCommand | None:
        if action is None:
            return None
        id_ = derived_id("guardrail", *active.key, active.since_ms, action)
        evidence = GuardrailEvidence.of(active, round_, self._link(decisive_measurement(round_)))
        match action:
            case OnFailure.ROLLBACK | OnInconclusive.ROLLBACK:
                return RollBackTrigger(
                    id=id_,
                    actor=ACTOR,
                    reason=reason_of(active, round_),
                    trigger=active.trigger.id,
                    guardrail=evidence.to_jsonable(),
                )
            case OnFailure.PAUSE | OnInconclusive.PAUSE if _can_pause(active):
                return PauseTrigger(
                    id=id_,
                    actor=ACTOR,
                    reason=reason_of(active, round_),
                    trigger=active.trigger.id,
                    phase_id=active.trigger.current_run.phase.id,
                    guardrail=evidence.to_jsonable(),
                )
            case _:
                return None

    async def _record(
        self,
        active: ActiveGuardrail,
        round_: Round,
        before: Verdict,
        action: OnFailure | OnInconclusive | None,
    ) -> None:
        if action:
            metrics.GUARDRAIL_ACTIONS.labels(action).inc()
        reason, measurement = reason_of(active, round_), decisive_measurement(round_)
        level = logging.WARNING if action else logging.INFO
        log.log(level, "%s: verdict %s, previously %s: %s", active.trigger.id, round_.verdict, before, reason)
        change = VerdictChanged(
            trigger=active.trigger.id,
            phase_id=active.phase.id,
            guardrail=active.guardrail.name,
            time_ms=round_.time_ms,
            before=before,
            verdict=round_.verdict,
            action=action,
            reason=reason,
            url=bounded_url(self._link(measurement)),
            measurement=bounded_measurement(measurement),
        )
        await self._store.store_verdict(change)

    def _link(self, measurement: Measurement) -> str | None:
        """Return the address of the query in Prometheus."""
        if self._prometheus is None:
            return None
        return f"{self._prometheus}/graph?g0.expr={quote(measurement.query)}&g0.tab=0"


def reason_of(active: ActiveGuardrail, round_: Round) -> str:
    """Return what a guardrail says, and by which query, value, limit and region."""
    tally, guardrail = round_.tallies[round_.region], active.guardrail
    verdict = {
        Verdict.FAILED: f"has failed ({tally.failures} failures, {guardrail.failure_limit} allowed)",
        Verdict.LOST: f"cannot be measured ({tally.consecutive_errors} errors in a row)",
    }.get(round_.verdict, f"is {round_.verdict}")
    text = (
        f"guardrail {guardrail.name} of phase {active.phase.id} {verdict}{in_region(round_)}: "
        f"{round_.why}; query {decisive_measurement(round_).query}"
    )
    return text[:REASON_MAX]


def in_region(round_: Round) -> str:
    """Return ` in region <name>`; empty if the query names no region."""
    return "" if round_.region == EVERYWHERE else f" in region {round_.region}"


def _can_pause(active: ActiveGuardrail) -> bool:
    return active.trigger.status in (TriggerStatus.IN_PROGRESS, TriggerStatus.WAITING_FOR_REVIEW)
