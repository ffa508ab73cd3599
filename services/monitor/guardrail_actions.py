"""What follows from a guardrail's verdict: a command, a record of it, or nothing."""

import logging
from typing import Any
from urllib.parse import quote

from sluiceway.contracts.commands import PauseTrigger, RollBackTrigger, TriggerCommand, derived_id
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.guardrails import OnFailure, OnInconclusive
from sluiceway.contracts.measurements import EVERYWHERE, Measurement, Round, Verdict, VerdictChanged
from sluiceway.contracts.replies import Outcome, RefusalCode
from sluiceway.errors import Unavailable
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail
from sluiceway.pipelines.guardrail_verdicts import action_of
from sluiceway.prometheus import redacted_url

from . import metrics

log = logging.getLogger(__name__)

ACTOR = "monitor"
REASON_MAX = 2_000


class GuardrailActions:
    """Does what a guardrail's author said, once, and writes down why."""

    def __init__(self, commands: CommandClient, store: MeasurementStore, prometheus_url: str | None) -> None:
        self._commands = commands
        self._store = store
        self._prometheus = redacted_url(prometheus_url) if prometheus_url else None

    async def follow(
        self, watch: ActiveGuardrail, round_: Round, before: Verdict, *, is_due: bool = False
    ) -> None:
        """Act on a look at a guardrail; `Unavailable` where a command was not answered.

        Called again with the same verdict it does nothing more: the command's id is the same.
        """
        action = action_of(round_.verdict, watch.guardrail, is_due=is_due)
        reason = reason_of(watch, round_)
        done = await self._act(action, watch, round_, reason)
        if done or round_.verdict is not before:
            await self._record(watch, round_, before, action, reason)

    async def _act(
        self, action: OnFailure | OnInconclusive | None, watch: ActiveGuardrail, round_: Round, reason: str
    ) -> bool:
        """Send the command that an action is; say whether it changed something."""
        command = self._command(action, watch, round_, reason)
        if command is None:
            return False
        reply = await self._commands.send(command)
        if reply.refusal and reply.refusal.code is RefusalCode.UNAVAILABLE:
            raise Unavailable(reply.refusal.message)
        if reply.refusal:
            log.info("%s: %s was refused: %s", watch.trigger.id, command.verb, reply.refusal.message)
        return reply.outcome is Outcome.ACCEPTED

    def _command(
        self, action: OnFailure | OnInconclusive | None, watch: ActiveGuardrail, round_: Round, reason: str
    ) -> TriggerCommand | None:
        said: dict[str, Any] = {
            "id": derived_id("guardrail", *watch.key, watch.since_ms, action),
            "actor": ACTOR,
            "reason": reason,
            "trigger": watch.trigger.id,
            "guardrail": self._evidence(watch, round_),
        }
        match action:
            case OnFailure.ROLLBACK | OnInconclusive.ROLLBACK:
                return RollBackTrigger(**said)
            case OnFailure.PAUSE | OnInconclusive.PAUSE if _can_pause(watch):
                return PauseTrigger(**said, phase_id=watch.trigger.current_run.phase.id)
            case _:
                return None

    async def _record(
        self,
        watch: ActiveGuardrail,
        round_: Round,
        before: Verdict,
        action: OnFailure | OnInconclusive | None,
        reason: str,
    ) -> None:
        if action:
            metrics.GUARDRAIL_ACTIONS.labels(action).inc()
        level = logging.WARNING if action else logging.INFO
        log.log(level, "%s: %s, which was %s: %s", watch.trigger.id, round_.verdict, before, reason)
        measured = _measured(round_)
        change = VerdictChanged(
            trigger=watch.trigger.id,
            phase_id=watch.phase.id,
            guardrail=watch.guardrail.name,
            time_ms=round_.time_ms,
            before=before,
            verdict=round_.verdict,
            action=action,
            reason=reason,
            url=self._link(measured),
            measurement=measured,
        )
        await self._store.store_verdict(change)

    def _evidence(self, watch: ActiveGuardrail, round_: Round) -> dict[str, Any]:
        """Return what a reader of the log needs in order to look for himself."""
        guardrail, measured = watch.guardrail, _measured(round_)
        return {
            "name": guardrail.name,
            "phase": watch.phase.id,
            "verdict": round_.verdict,
            **measured.to_jsonable(),
            "failureCondition": guardrail.failure_condition,
            "successCondition": guardrail.success_condition,
            "failureLimit": guardrail.failure_limit,
            "tally": round_.tallies[round_.region].to_jsonable(),
            "url": self._link(measured),
        }

    def _link(self, measured: Measurement) -> str | None:
        """Return where one can look at the query."""
        if self._prometheus is None:
            return None
        return f"{self._prometheus}/graph?g0.expr={quote(measured.query)}&g0.tab=0"


def reason_of(watch: ActiveGuardrail, round_: Round) -> str:
    """Return in words what a guardrail says, and by which query, value, limit and region."""
    tally, guardrail = round_.tallies[round_.region], watch.guardrail
    what = {
        Verdict.FAILED: f"has failed ({tally.failures} failures, {guardrail.failure_limit} are borne)",
        Verdict.LOST: f"sees nothing ({tally.consecutive_errors} errors in a row)",
    }.get(round_.verdict, f"is {round_.verdict}")
    text = (
        f"guardrail {guardrail.name} of phase {watch.phase.id} {what}{where_of(round_)}: "
        f"{round_.why}; query {_measured(round_).query}"
    )
    return text[:REASON_MAX]


def where_of(round_: Round) -> str:
    """Return the region that a verdict is due to; nothing, where the query is about none."""
    return "" if round_.region == EVERYWHERE else f" in region {round_.region}"


def _measured(round_: Round) -> Measurement:
    return next(one for one in round_.measurements if one.region == round_.region)


def _can_pause(watch: ActiveGuardrail) -> bool:
    status = watch.trigger.status
    return status in (TriggerStatus.IN_PROGRESS, TriggerStatus.WAITING_FOR_REVIEW)
