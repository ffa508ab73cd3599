"""Acts on guardrails at the end of a bake: `onInconclusive` says what to do when a phase becomes due."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.measurements import Round
from sluiceway.errors import RetryLater
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail
from sluiceway.pipelines.guardrail_verdicts import action_of
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.timers import Timers, one_by_one

from .active_guardrails import ActiveGuardrails
from .guardrail_actions import GuardrailActions

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

#: An action that failed is tried again after this time.
RETRY_MS = 500
#: A phase that is still due is checked again after this time.
RECHECK_MS = 4_000
#: Phases that are checked again per second: the more are due, the longer each of them waits.
RECHECKS_PER_SECOND = 500


class DuePhase(NamedTuple):
    """A feature whose phase becomes due, and the event that says so."""

    key: FeatureKey
    sequence: int


class DuePhases:
    """Acts on the newest verdict of each guardrail when the phase of its release becomes due.

    Measurements that come later, while the phase is still due, are acted on by `GuardrailRunner`; this
    class checks again from time to time, in case a monitor died between a measurement and its action.
    Every replica acts: the command has the same id, so that it is applied once. While `may_run` returns
    false, nothing is done.
    """

    def __init__(
        self,
        features: FeatureView,
        measurements: MeasurementView,
        guardrails: ActiveGuardrails,
        actions: GuardrailActions,
        clock: Clock,
        workers: int,
        may_run: Callable[[], bool] = lambda: True,
    ) -> None:
        self._features = features
        self._measurements = measurements
        self._guardrails = guardrails
        self._actions = actions
        self._clock = clock
        self._timers = Timers(one_by_one(self._run_due), clock, workers, may_run, key=lambda due: due.key)
        #: What was due, and has had no newer event since.
        self._due: set[FeatureKey] = set()

    def schedule(self, entry: FeatureEntry) -> None:
        """Act when the phase of a feature's newest event is due: immediately if it already is."""
        self._due.discard(entry.key)
        if entry.due_ms is not None and self._guardrails.of_feature(entry.key):
            self._timers.push(entry.due_ms, DuePhase(entry.key, entry.sequence))
        else:
            self._timers.discard(entry.key)

    async def run(self) -> None:
        """Act on what is due until cancelled."""
        await self._timers.run()

    async def _run_due(self, due: DuePhase) -> None:
        if not self._is_newest(due):
            return
        wait_ms = RECHECK_MS
        try:
            await self._act(due.key)
        except RetryLater as error:
            repeated.warning("act", "%s: cannot act on guardrails now, retrying: %s", due.key, error)
            wait_ms = RETRY_MS
        except Exception:  # one feature must not stop the others
            log.exception("%s: internal error while acting on guardrails of a due phase", due.key)
        if self._is_newest(due):
            self._due.add(due.key)
            bounded_ms = max(wait_ms, len(self._due) * 1_000 // RECHECKS_PER_SECOND)
            self._timers.push(self._clock() + bounded_ms, due)

    def _is_newest(self, due: DuePhase) -> bool:
        """Return whether no newer event of the feature is known; such an event has its own timer."""
        entry = self._features.get(due.key)
        return entry is not None and entry.sequence == due.sequence

    async def _act(self, key: FeatureKey) -> None:
        await self._measurements.catch_up()
        for active in self._guardrails.of_feature(key):
            round_ = self._guardrails.last_round(active)
            if round_ and self._has_action(active, round_) and await self._guardrails.is_due(active):
                await self._actions.act(active, round_, round_.verdict, is_due=True)

    def _has_action(self, active: ActiveGuardrail, round_: Round) -> bool:
        action = action_of(round_.verdict, active.guardrail, is_due=True)
        return action is not None and bool(self._guardrails.queries(active))
