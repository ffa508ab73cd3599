"""May a phase be left? Answers schedulers by what the guardrails say. Only reads."""

import logging
from collections.abc import Iterable, Iterator

from sluiceway.clock import Clock
from sluiceway.contracts.identifiers import feature_of
from sluiceway.contracts.measurements import (
    Clearance,
    ClearanceAnswer,
    ClearanceQuestion,
    ClearanceRequest,
    Round,
    Verdict,
)
from sluiceway.errors import RetryLater
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.measurement_store import MeasurementView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, is_overdue
from sluiceway.pipelines.guardrail_verdicts import is_holding
from sluiceway.pipelines.message_limits import bounded_holds
from sluiceway.repeated_logs import RepeatedLogs

from .active_guardrails import ActiveGuardrails
from .guardrail_actions import in_region

log = logging.getLogger(__name__)

NOT_CAUGHT_UP = "the monitor has not caught up with the log"
INVALID_EVENT = "the newest event of the feature in the log is invalid, so its guardrails are unknown"
FAILED = "the monitor has an internal error with the phase; its log says more"
#: Bytes of the holds of one reply, which may be at most a message; more questions are left unanswered.
HOLDS_BYTES_MAX = 64 * 1024
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
        self._repeated = RepeatedLogs(log)

    async def clear(self, request: ClearanceRequest) -> Clearance:
        """Return what holds each phase. A monitor that cannot read the log holds them all, too."""
        try:
            await self._catch_up(request.questions)
        except RetryLater as error:
            self._repeated.warning(
                "clear", "no clearance for %s and %s more: %s", request.trigger, len(request.others), error
            )
            return all_held(request, NOT_CAUGHT_UP)
        first, *others = _bounded(self._answer(question) for question in request.questions)
        return Clearance(
            trigger=first.trigger, phase_id=first.phase_id, holds=first.holds, others=tuple(others)
        )

    async def _catch_up(self, questions: Iterable[ClearanceQuestion]) -> None:
        """Read the log if it is behind, and the measurements if a guardrail may hold a phase."""
        if not all(map(self._has_reached, questions)):
            await self._features.catch_up()
        if any(self._guardrails.of_trigger(question.trigger) for question in questions):
            await self._measurements.catch_up()

    def _answer(self, question: ClearanceQuestion) -> ClearanceAnswer:
        try:
            holds = self._holds(question)
        except Exception:  # one phase must not hold the others
            log.exception("%s: internal error, so its phase is held", question.trigger)
            holds = (FAILED,)
        return _answer(question, holds)

    def _holds(self, question: ClearanceQuestion) -> tuple[str, ...]:
        if not self._has_reached(question):
            return (NOT_CAUGHT_UP,)
        if not self._guardrails.are_known(question.trigger):
            return (INVALID_EVENT,)
        guardrails = self._guardrails.of_trigger(question.trigger)
        return bounded_holds([hold for active in guardrails if (hold := self._hold(active))])

    def _has_reached(self, question: ClearanceQuestion) -> bool:
        """Return whether the event that the scheduler refers to, or a newer one, is in the view."""
        entry = self._features.get(feature_of(question.trigger))
        return entry is not None and entry.sequence >= question.revision

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


def all_held(request: ClearanceRequest, reason: str) -> Clearance:
    """Return that every phase which is asked about is held."""
    others = tuple(_answer(question, (reason,)) for question in request.others)
    return Clearance(trigger=request.trigger, phase_id=request.phase_id, holds=(reason,), others=others)


def _answer(question: ClearanceQuestion, holds: tuple[str, ...]) -> ClearanceAnswer:
    return ClearanceAnswer(trigger=question.trigger, phase_id=question.phase_id, holds=holds)


def _bounded(answers: Iterable[ClearanceAnswer]) -> Iterator[ClearanceAnswer]:
    """Give the first answer, and the next ones for as long as there is room for them."""
    size = 0
    for answer in answers:
        size += sum(len(hold.encode()) for hold in answer.holds)
        if size > HOLDS_BYTES_MAX:
            return
        yield answer


def _details(round_: Round | None) -> str:
    """Return the region that caused the verdict and, for an error, its text."""
    if round_ is None:
        return ""
    cause = f" ({round_.why})" if round_.verdict in (Verdict.BLIND, Verdict.LOST) else ""
    return f"{in_region(round_)}{cause}"
