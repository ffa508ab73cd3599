"""Acts on guardrails at the end of a bake: `onInconclusive` says what to do when a phase becomes due."""

import logging
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.errors import RetryLater
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementView
from sluiceway.timers import Timers

from .active_guardrails import ActiveGuardrails
from .guardrail_actions import GuardrailActions

log = logging.getLogger(__name__)

#: An action that failed is tried again after this time.
RETRY_MS = 500


class DuePhase(NamedTuple):
    """A feature whose phase becomes due, and the event that says so."""

    key: FeatureKey
    sequence: int


class DuePhases:
    """Acts on the newest verdict of each guardrail when the phase of its release becomes due.

    Measurements that come later, while the phase is still due, are acted on by `GuardrailRunner`. Every
    replica acts: the command has the same id, so that it is applied once.
    """

    def __init__(
        self,
        features: FeatureView,
        measurements: MeasurementView,
        guardrails: ActiveGuardrails,
        actions: GuardrailActions,
        clock: Clock,
        workers: int,
    ) -> None:
        self._features = features
        self._measurements = measurements
        self._guardrails = guardrails
        self._actions = actions
        self._clock = clock
        self._timers = Timers(self._run_due, clock, workers)

    def schedule(self, entry: FeatureEntry) -> None:
        """Act when the phase of a feature's newest event is due: immediately if it already is."""
        if entry.due_ms is not None and self._guardrails.of_feature(entry.key):
            self._timers.push(entry.due_ms, DuePhase(entry.key, entry.sequence))

    def schedule_all(self) -> None:
        """Schedule what became due, or will, by events from before this process started."""
        for entry in self._features:
            self.schedule(entry)

    async def run(self) -> None:
        """Act on what is due until cancelled."""
        await self._timers.run()

    async def _run_due(self, due: DuePhase) -> None:
        try:
            await self._features.catch_up()
            await self._measurements.catch_up()
            entry = self._features.get(due.key)
            if entry and entry.sequence == due.sequence:
                await self._act(due.key)
        except RetryLater as error:
            log.warning("%s: cannot act on guardrails now, retrying: %s", due.key, error)
            self._timers.push(self._clock() + RETRY_MS, due)
        except Exception:  # one feature must not stop the others; the next measurement acts again
            log.exception("%s: internal error while acting on guardrails of a due phase", due.key)

    async def _act(self, key: FeatureKey) -> None:
        for active in self._guardrails.of_feature(key):
            round_ = self._guardrails.last_round(active)
            if round_ and self._guardrails.queries(active):
                await self._actions.act(active, round_, round_.verdict, is_due=True)
