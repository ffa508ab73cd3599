"""May this trigger leave this phase? Asked when the phase is due; no answer means no."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError

from sluiceway.contracts import subjects
from sluiceway.contracts.measurements import (
    CLEARANCES_MAX,
    Clearance,
    ClearanceQuestion,
    ClearanceRequest,
)
from sluiceway.errors import MessageTooLarge, error_text
from sluiceway.messaging.batched_requests import BatchedRequests
from sluiceway.messaging.connection import Connection
from sluiceway.repeated_logs import RepeatedLogs

from . import metrics
from .baked_phase import BakedPhase
from .confirmations import Confirmations
from .published_rules import RulesReader

log = logging.getLogger(__name__)

#: A monitor that takes longer counts as one that does not answer.
ANSWER_SECONDS = 2.0
#: Requests to monitors that are under way at the same time.
REQUESTS_MAX = 4
#: Regions named in the holds of a phase.
NAMED_MAX = 10
NO_MONITOR = "no monitor is running, so nobody can clear the phase"
NO_ANSWER = "the monitor does not answer, so nobody can clear the phase"
TOO_LARGE = "the broker's max_payload is too small to ask a monitor, so nobody can clear the phase"


class Holds(NamedTuple):
    """Why a trigger may not leave its current phase: by its guardrails, and by what regions hold."""

    by_guardrails: tuple[str, ...]
    by_regions: tuple[str, ...]


class ClearanceClient:
    """Collects the reasons why a phase may not be left."""

    def __init__(self, connection: Connection, rules: RulesReader, confirmations: Confirmations) -> None:
        self._client = connection.client
        self._repeated = RepeatedLogs(log)
        self._rules = rules
        self._confirmations = confirmations
        self._guardrail_holds: BatchedRequests[ClearanceQuestion, tuple[str, ...]] = BatchedRequests(
            self._ask, questions_max=CLEARANCES_MAX, requests_max=REQUESTS_MAX
        )

    def regions_of(self, phase: BakedPhase) -> tuple[str, ...]:
        """Return the regions that a phase waits for."""
        return self._rules.regions_of(phase)

    async def holds(self, phases: Sequence[BakedPhase]) -> list[Holds]:
        """Return why each trigger may not leave its current phase; empty if it may.

        No phase is left while RULES does not hold what it released, even if nobody reports.
        """
        questions = [_question(phase) for phase in phases]
        by_guardrails = await self._guardrail_holds.answers(questions)
        rules = await self._rules.of_phases(phases)
        late = await self._confirmations.missing(
            [
                found.published if phase.trigger.pipeline.require_confirmation else ()
                for phase, found in zip(phases, rules, strict=True)
            ]
        )
        return [
            Holds(by_guardrails[question], _bounded(found.holds + missing))
            for question, found, missing in zip(questions, rules, late, strict=True)
        ]

    async def _ask(
        self, questions: Sequence[ClearanceQuestion]
    ) -> Mapping[ClearanceQuestion, tuple[str, ...]]:
        """Return why the monitor holds each phase; empty if it does not.

        What one reply leaves out is asked about again, each phase alone.
        """
        found = await self._request(questions)
        missing = [question for question in questions if question not in found]
        if len(questions) > 1:
            for answers in await asyncio.gather(*(self._request([question]) for question in missing)):
                found |= answers
        held = {question: _unanswered(NO_ANSWER) for question in questions if question not in found}
        return found | held

    async def _request(
        self, questions: Sequence[ClearanceQuestion]
    ) -> dict[ClearanceQuestion, tuple[str, ...]]:
        """Ask a monitor once, or in parts; the result lacks what it has not answered."""
        first, *others = questions
        request = ClearanceRequest(**first.model_dump(), others=tuple(others))
        try:
            message = await self._client.request(
                subjects.CLEARANCE, request.to_json(), timeout=ANSWER_SECONDS
            )
            clearance = Clearance.model_validate_json(message.data, extra="ignore")
        except NoRespondersError:
            return {question: _unanswered(NO_MONITOR) for question in questions}
        except MessageTooLarge as error:
            return await self._request_halves(questions, error)
        except (TimeoutError, NatsError, ValidationError) as error:
            text = error_text(error)
            self._repeated.warning(
                text, "no clearance for %s and %s more: %s", first.trigger, len(others), text
            )
            return {question: _unanswered(NO_ANSWER) for question in questions}
        found = {
            question: answer.holds
            for question, answer in zip(questions, clearance.answers, strict=False)
            if (answer.trigger, answer.phase_id) == (question.trigger, question.phase_id)
        }
        for holds in found.values():
            metrics.CLEARANCES.labels("held" if holds else "cleared").inc()
        return found

    async def _request_halves(
        self, questions: Sequence[ClearanceQuestion], error: MessageTooLarge
    ) -> dict[ClearanceQuestion, tuple[str, ...]]:
        """Ask about each half alone; a question that is too large by itself holds its phase."""
        middle = len(questions) // 2
        if middle == 0:
            self._repeated.error("too large", "no clearance for %s: %s", questions[0].trigger, error)
            return {questions[0]: _unanswered(TOO_LARGE)}
        halves = (self._request(questions[:middle]), self._request(questions[middle:]))
        first, second = await asyncio.gather(*halves)
        return first | second


def _question(phase: BakedPhase) -> ClearanceQuestion:
    return ClearanceQuestion(trigger=phase.trigger.id, phase_id=phase.phase.id, revision=phase.revision)


def _bounded(holds: tuple[str, ...]) -> tuple[str, ...]:
    """Return at most `NAMED_MAX` holds: they are stored with the state, in every event from then on."""
    return holds if len(holds) <= NAMED_MAX else (*holds[:NAMED_MAX], "and other regions")


def _unanswered(reason: str) -> tuple[str, ...]:
    metrics.CLEARANCES.labels("unanswered").inc()
    return (reason,)
