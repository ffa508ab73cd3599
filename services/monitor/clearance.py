"""May a phase be left? What its guardrails say, and those of the phases before it."""

import logging

from sluiceway.clock import Clock
from sluiceway.contracts.identifiers import feature_of
from sluiceway.contracts.measurements import Clearance, ClearanceRequest, Round, Verdict
from sluiceway.errors import RetryLater
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.measurement_store import MeasurementView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, is_overdue
from sluiceway.pipelines.guardrail_verdicts import is_holding

from .guardrail_actions import GuardrailActions, where_of
from .guardrail_runner import GuardrailRunner

log = logging.getLogger(__name__)

NOT_KNOWN = "the monitor has not caught up with the log"
#: Why a verdict holds, in words that stay the same while it does.
HOLD_DESCRIPTIONS = {
    Verdict.PENDING: "nothing conclusive yet",
    Verdict.FAILING: "the last measurement failed",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.BLIND: "the last measurement was an error",
    Verdict.LOST: "it sees nothing any more",
    Verdict.FAILED: "it has failed",
}


class ClearanceResponder:
    """Answers schedulers."""

    def __init__(
        self,
        features: FeatureView,
        measurements: MeasurementView,
        watching: GuardrailRunner,
        actions: GuardrailActions,
        clock: Clock,
    ) -> None:
        self._features = features
        self._measurements = measurements
        self._watching = watching
        self._actions = actions
        self._clock = clock

    async def clear(self, request: ClearanceRequest) -> Clearance:
        """Return what holds a phase. What this process cannot know holds as well."""
        try:
            holds = await self._holds(request)
        except RetryLater as error:
            log.warning("no clearance for %s: %s", request.trigger, error)
            holds = (NOT_KNOWN,)
        return Clearance(trigger=request.trigger, phase_id=request.phase_id, holds=holds)

    async def _holds(self, request: ClearanceRequest) -> tuple[str, ...]:
        key = feature_of(request.trigger)
        entry = self._features.get(key)
        if entry is None or entry.sequence < request.revision:
            await self._features.catch_up()
            entry = self._features.get(key)
        if entry is None or entry.sequence < request.revision:
            return (NOT_KNOWN,)
        await self._measurements.catch_up()
        watches = [w for w in self._watching.active_guardrails(key) if w.trigger.id == request.trigger]
        return tuple([hold for watch in watches if (hold := await self._hold(watch))])

    async def _hold(self, watch: ActiveGuardrail) -> str | None:
        if not self._watching.guardrail_queries(watch):
            return None
        round_ = self._watching.last(watch)
        verdict = round_.verdict if round_ else Verdict.PENDING
        if round_:
            await self._actions.follow(watch, round_, round_.verdict, is_due=True)
        name = f"guardrail {watch.guardrail.name} of phase {watch.phase.id}"
        if round_ and is_overdue(watch, round_.time_ms, self._clock()):
            return f"{name}: it has not been measured lately"
        if not is_holding(verdict, watch.guardrail):
            return None
        return f"{name}: {HOLD_DESCRIPTIONS[verdict]}{_where(round_)}"


def _where(round_: Round | None) -> str:
    """Return the region that a verdict is due to; of an error, what it was."""
    if round_ is None:
        return ""
    cause = f" ({round_.why})" if round_.verdict in (Verdict.BLIND, Verdict.LOST) else ""
    return f"{where_of(round_)}{cause}"
