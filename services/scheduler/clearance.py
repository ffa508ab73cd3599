"""May this trigger leave this phase? Asked at the moment when the phase is due."""

import logging

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError

from sluiceway.contracts import subjects
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.measurements import Clearance as Clearance
from sluiceway.contracts.measurements import ClearanceRequest
from sluiceway.messaging.connection import Connection
from sluiceway.telemetry import metrics

from .confirmations import Confirmations

log = logging.getLogger(__name__)

#: A monitor that takes longer counts as one that does not answer.
ANSWER_SECONDS = 2.0
NOBODY = "no monitor runs: nobody says whether the phase may be left"
SILENCE = "the monitor does not answer: nobody says whether the phase may be left"


class ClearanceClient:
    """Collects what forbids to leave a phase. No answer forbids it, too."""

    def __init__(self, connection: Connection, confirmations: Confirmations) -> None:
        self._client = connection.client
        self._confirmations = confirmations

    async def holds(self, trigger: Trigger, revision: int) -> tuple[str, ...]:
        """Return why the trigger may not leave its current phase; empty where it may.

        `revision` is the sequence of the event by which the phase is due.
        """
        holds = await self._watched(trigger, revision)
        if trigger.pipeline.require_confirmation:
            holds += await self._confirmations.missing(trigger)
        return holds

    async def _watched(self, trigger: Trigger, revision: int) -> tuple[str, ...]:
        """Return what the monitor has against it."""
        request = ClearanceRequest(
            trigger=trigger.id, phase_id=trigger.current_run.phase.id, revision=revision
        )
        try:
            message = await self._client.request(
                subjects.CLEARANCE, request.to_json(), timeout=ANSWER_SECONDS
            )
            answer = Clearance.model_validate_json(message.data, extra="ignore")
        except NoRespondersError:
            return _unanswered(NOBODY)
        except (TimeoutError, NatsError, ValidationError) as error:
            log.warning("no clearance for %s: %s", trigger.id, error or type(error).__name__)
            return _unanswered(SILENCE)
        if (answer.trigger, answer.phase_id) != (trigger.id, request.phase_id):
            return _unanswered(SILENCE)
        metrics.CLEARANCES.labels("held" if answer.holds else "cleared").inc()
        return answer.holds


def _unanswered(why: str) -> tuple[str, ...]:
    metrics.CLEARANCES.labels("unanswered").inc()
    return (why,)
