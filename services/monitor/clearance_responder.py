"""May a phase be left? Answers schedulers by what the guardrails say. Only reads."""

import logging

from sluiceway.clock import Clock
from sluiceway.contracts.identifiers import feature_of
from sluiceway.contracts.measurements import Clearance, ClearanceRequest, Round, Verdict
from sluiceway.errors import RetryLater
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.measurement_store import MeasurementView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, is_overdue
from sluiceway.pipelines.guardrail_verdicts import is_holding
from sluiceway.pipelines.message_limits import bounded_holds

from .active_guardrails import ActiveGuardrails
from .guardrail_actions import in_region

log = logging.getLogger(__name__)

NOT_CAUGHT_UP = "the monitor has not caught up with the log"
#: Why a verdict holds. The text must not change while the verdict stays: each new text is a new event.
HOLD_DESCRIPTIONS = {
    Verdict.PENDING: "it has not been measured yet",
    Verdict.FAILING: "the last measurement failed",
    Verdict.INCONCLUSIVE: "it is inconclusive",
    Verdict.BLIND: "the last measurement was an error",
    Verdict.LOST: "too many errors in a row",
    Verdict.FAILED: "it has failed",
}


class ClearanceResponder:
    """Returns what holds a phase: its own guardrails, and those of the phases before it.

    It changes nothing: what follows from a verdict is done by `GuardrailRunner` and `DuePhases`.
    """

    def __init__(
        self,
        features: FeatureView,
        measurements: MeasurementView,
        guardrails: ActiveGuardrails,
        clock: Clock,
    ) -> None:
        self._features = features
        self._measurements = measurements
        self._guardrails = guardrails
        self._clock = clock

    async def clear(self, request: ClearanceRequest) -> Clearance:
        """Return what holds a phase. A monitor that cannot read the log holds it, too."""
        try:
            holds = await self._holds(request)
        except RetryLater as error:
            log.warning("%s: no clearance: %s", request.trigger, error)
            holds = (NOT_CAUGHT_UP,)
        return Clearance(trigger=request.trigger, phase_id=request.phase_id, holds=holds)

    async def _holds(self, request: ClearanceRequest) -> tuple[str, ...]:
        if not await self._has_reached(request):
            return (NOT_CAUGHT_UP,)
        await self._measurements.catch_up()
        guardrails = self._guardrails.of_trigger(request.trigger)
        return bounded_holds([hold for active in guardrails if (hold := self._hold(active))])

    async def _has_reached(self, request: ClearanceRequest) -> bool:
        """Return whether the event that the scheduler refers to, or a newer one, is in the view."""
        key = feature_of(request.trigger)
        entry = self._features.get(key)
        if entry is None or entry.sequence < request.revision:
            await self._features.catch_up()
            entry = self._features.get(key)
        return entry is not None and entry.sequence >= request.revision

    def _hold(self, active: ActiveGuardrail) -> str | None:
        if not self._guardrails.queries(active):
            return None
        round_ = self._guardrails.last_round(active)
        verdict = round_.verdict if round_ else Verdict.PENDING
        name = f"guardrail {active.guardrail.name} of phase {active.phase.id}"
        if round_ and is_overdue(active, round_.time_ms, self._clock()):
            return f"{name}: it has not been measured lately"
        if not is_holding(verdict, active.guardrail):
            return None
        return f"{name}: {HOLD_DESCRIPTIONS[verdict]}{_details(round_)}"


def _details(round_: Round | None) -> str:
    """Return the region that caused the verdict and, for an error, its text."""
    if round_ is None:
        return ""
    cause = f" ({round_.why})" if round_.verdict in (Verdict.BLIND, Verdict.LOST) else ""
    return f"{in_region(round_)}{cause}"
