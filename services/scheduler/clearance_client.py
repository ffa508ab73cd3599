"""May this trigger leave this phase? Asked when the phase is due; no answer means no."""

import logging

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError

from sluiceway.contracts import subjects
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.measurements import Clearance, ClearanceRequest
from sluiceway.messaging.connection import Connection

from . import metrics
from .confirmations import Confirmations

log = logging.getLogger(__name__)

#: A monitor that takes longer counts as one that does not answer.
ANSWER_SECONDS = 2.0
NO_MONITOR = "no monitor is running, so nobody can clear the phase"
NO_ANSWER = "the monitor does not answer, so nobody can clear the phase"


class ClearanceClient:
    """Collects the reasons why a phase may not be left."""

    def __init__(self, connection: Connection, confirmations: Confirmations) -> None:
        self._client = connection.client
        self._confirmations = confirmations

    async def holds(self, trigger: Trigger, revision: int) -> tuple[str, ...]:
        """Return why the trigger may not leave its current phase; empty if it may.

        `revision` is the sequence of the event that made the phase due.
        """
        holds = await self._guardrail_holds(trigger, revision)
        if trigger.pipeline.require_confirmation:
            holds += await self._confirmations.missing(trigger)
        return holds

    async def _guardrail_holds(self, trigger: Trigger, revision: int) -> tuple[str, ...]:
        """Return why the monitor holds the phase; empty if it does not."""
        request = ClearanceRequest(
            trigger=trigger.id, phase_id=trigger.current_run.phase.id, revision=revision
        )
        try:
            message = await self._client.request(
                subjects.CLEARANCE, request.to_json(), timeout=ANSWER_SECONDS
            )
            clearance = Clearance.model_validate_json(message.data, extra="ignore")
        except NoRespondersError:
            return _unanswered(NO_MONITOR)
        except (TimeoutError, NatsError, ValidationError) as error:
            log.warning("no clearance for %s: %s", trigger.id, error or type(error).__name__)
            return _unanswered(NO_ANSWER)
        if (clearance.trigger, clearance.phase_id) != (trigger.id, request.phase_id):
            return _unanswered(NO_ANSWER)
        metrics.CLEARANCES.labels("held" if clearance.holds else "cleared").inc()
        return clearance.holds


def _unanswered(reason: str) -> tuple[str, ...]:
    metrics.CLEARANCES.labels("unanswered").inc()
    return (reason,)
