"""May this trigger leave this phase? Asked when the phase is due; no answer means no."""

import logging
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError

from sluiceway.contracts import subjects
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.measurements import Clearance, ClearanceRequest
from sluiceway.messaging.connection import Connection

from . import metrics
from .confirmations import Confirmations
from .published_rules import RulesReader

log = logging.getLogger(__name__)

#: A monitor that takes longer counts as one that does not answer.
ANSWER_SECONDS = 2.0
#: Regions named in the holds of a phase.
NAMED_MAX = 10
NO_MONITOR = "no monitor is running, so nobody can clear the phase"
NO_ANSWER = "the monitor does not answer, so nobody can clear the phase"


class Holds(NamedTuple):
    """Why a trigger may not leave its current phase: by its guardrails, and by what regions hold."""

    by_guardrails: tuple[str, ...]
    by_regions: tuple[str, ...]


class ClearanceClient:
    """Collects the reasons why a phase may not be left."""

    def __init__(self, connection: Connection, rules: RulesReader, confirmations: Confirmations) -> None:
        self._client = connection.client
        self._rules = rules
        self._confirmations = confirmations

    async def holds(self, event: FeatureEvent, revision: int) -> Holds:
        """Return why the active trigger may not leave its current phase; empty if it may.

        `event` made the phase due, and `revision` is its sequence. No phase is left while RULES does not
        hold what it released, even if nobody reports.
        """
        trigger = event.feature.trigger
        assert trigger
        by_guardrails = await self._guardrail_holds(trigger, revision)
        rules = await self._rules.of_phase(event, revision)
        if not trigger.pipeline.require_confirmation:
            return Holds(by_guardrails, _bounded(rules.holds))
        late = await self._confirmations.missing(rules.published)
        return Holds(by_guardrails, _bounded(rules.holds + late))

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


def _bounded(holds: tuple[str, ...]) -> tuple[str, ...]:
    """Return at most `NAMED_MAX` holds: they are stored with the state, in every event from then on."""
    return holds if len(holds) <= NAMED_MAX else (*holds[:NAMED_MAX], "and other regions")


def _unanswered(reason: str) -> tuple[str, ...]:
    metrics.CLEARANCES.labels("unanswered").inc()
    return (reason,)
