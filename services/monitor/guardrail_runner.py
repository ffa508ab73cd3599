"""Measures each guardrail of every release at its interval, and acts on its verdict.

Replicas share the work: a round is stored conditionally, so that it counts once.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from sluiceway.clock import Clock
from sluiceway.contracts.measurements import Round, Verdict
from sluiceway.errors import Conflict, MessageTooLarge, RetryLater
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.messaging.measurement_store import MeasurementStore, MeasurementView
from sluiceway.pipelines.guardrail_queries import GuardrailQuery
from sluiceway.pipelines.guardrail_schedule import (
    ActiveGuardrail,
    GuardrailKey,
    next_measurement_ms,
    query_timeout_seconds,
    round_of,
)
from sluiceway.pipelines.guardrail_verdicts import action_of
from sluiceway.pipelines.measurement import QueryResult, evaluate_measurement
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.tasks import with_pauses
from sluiceway.timers import Timers, one_by_one

from . import metrics
from .active_guardrails import LOOKED_AT_MAX, ActiveGuardrails
from .guardrail_actions import GuardrailActions

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

#: Each replica delays a measurement by a random time: at most this, and at most this part of the
#: interval. So one replica measures first, and the others need not. The first measurement of a
#: guardrail is never delayed.
DELAY_MAX_MS = 500
DELAY_PART = 8
#: A measurement or an action that failed is tried again after this time.
RETRY_MS = 500


class QueryPrometheus(Protocol):
    """Returns the answer to a query, as of this time (ms since the epoch) or later. Never raises."""

    async def __call__(self, query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult: ...


class ScheduledMeasurement(NamedTuple):
    """A guardrail's next measurement, of those that count from `since_ms`."""

    key: GuardrailKey
    since_ms: int


class PendingAction(NamedTuple):
    """A round that is stored but not acted on yet, and the verdict before it."""

    round: Round
    before: Verdict


class GuardrailRunner:
    """Runs the measurements of all active guardrails, while `may_run` returns true."""

    def __init__(
        self,
        measurements: MeasurementView,
        guardrails: ActiveGuardrails,
        store: MeasurementStore,
        query_prometheus: QueryPrometheus,
        actions: GuardrailActions,
        clock: Clock,
        workers: int,
        may_run: Callable[[], bool] = lambda: True,
    ) -> None:
        self._measurements = measurements
        self._guardrails = guardrails
        self._store = store
        self._query_prometheus = query_prometheus
        self._actions = actions
        self._clock = clock
        self._timers = Timers(one_by_one(self._run_due), clock, workers, may_run)
        self._scheduled: set[ScheduledMeasurement] = set()
        self._pending_actions: dict[ScheduledMeasurement, PendingAction] = {}

    def schedule(self, entry: FeatureEntry) -> None:
        """Measure, from now on, the guardrails that are active by a feature's newest event."""
        for active in self._guardrails.of_feature(entry.key):
            self._schedule(active)

    async def run(self) -> None:
        """Measure until cancelled; forget what was measured of releases that were over before."""
        await asyncio.gather(self._forget_ended(), self._timers.run())

    async def _forget_ended(self) -> None:
        async for trigger in with_pauses(self._measurements.triggers(), LOOKED_AT_MAX):
            self._guardrails.forget_if_over(trigger)

    def _schedule(self, active: ActiveGuardrail) -> None:
        scheduled = ScheduledMeasurement(active.key, active.since_ms)
        if scheduled in self._scheduled:
            return
        self._scheduled.add(scheduled)
        last = self._guardrails.last_round(active)
        if last and action_of(last.verdict, active.guardrail, is_due=False):
            # the monitor that stored this round may have died before it acted
            self._pending_actions[scheduled] = PendingAction(last, last.verdict)
            self._timers.push(self._clock(), scheduled)
        else:
            self._schedule_next(active, scheduled, last.time_ms if last else None)

    def _schedule_next(
        self, active: ActiveGuardrail, scheduled: ScheduledMeasurement, last_ms: int | None
    ) -> None:
        delay_max_ms = min(DELAY_MAX_MS, active.guardrail.interval_ms // DELAY_PART)
        delay_ms = 0 if last_ms is None else random.randrange(delay_max_ms)  # noqa: S311 (not a secret)
        self._timers.push(next_measurement_ms(active, last_ms) + delay_ms, scheduled)

    async def _run_due(self, scheduled: ScheduledMeasurement) -> None:
        active = self._guardrails.find(*scheduled)
        if active is None:
            self._forget(scheduled)
            return
        last = self._guardrails.last_round(active)
        is_pending = scheduled in self._pending_actions
        if not is_pending and last and next_measurement_ms(active, last.time_ms) > self._clock():
            self._schedule_next(active, scheduled, last.time_ms)  # another replica has measured
            return
        try:
            if not is_pending:
                await self._measure(active, scheduled, last)
            await self._act(active, scheduled)
            # also if nothing could be asked, or another replica's round is not in the view yet
            self._schedule_next(active, scheduled, self._clock())
        except RetryLater as error:
            name = ".".join(scheduled.key)
            repeated.warning("measure", "%s: cannot be measured now, retrying: %s", name, error)
            self._timers.push(self._clock() + RETRY_MS, scheduled)
        except MessageTooLarge as error:  # the counts of so many regions fit into no message
            log.error("%s: cannot be measured: %s", ".".join(scheduled.key), error)
            self._timers.push(self._clock() + active.guardrail.interval_ms, scheduled)
        except Exception:  # one guardrail must not stop the others
            log.exception("%s: internal error while measuring a guardrail", ".".join(scheduled.key))
            self._pending_actions.pop(scheduled, None)
            self._timers.push(self._clock() + active.guardrail.interval_ms, scheduled)

    def _forget(self, scheduled: ScheduledMeasurement) -> None:
        self._scheduled.discard(scheduled)
        self._pending_actions.pop(scheduled, None)
        self._guardrails.forget(scheduled.key)

    async def _measure(
        self, active: ActiveGuardrail, scheduled: ScheduledMeasurement, last: Round | None
    ) -> None:
        """Measure once and store the round; do nothing if there is nothing to ask."""
        # read together with `last`: a round that is stored after that is not counted, so it must win
        tail = self._measurements.last_sequence(*active.key)
        queries = self._guardrails.queries(active)
        if not queries:
            return
        now_ms = self._clock()
        answers = await self._query_all(active, queries, now_ms)
        measurements = [evaluate_measurement(active.guardrail, query, answers) for query in queries]
        round_ = round_of(active, last, measurements, now_ms)
        try:
            await self._store.store_round(round_, tail)
        except Conflict:  # another replica was first; its round counts
            return
        metrics.GUARDRAIL_ROUNDS.labels(round_.verdict).inc()
        before = last.verdict if last else Verdict.PENDING
        self._pending_actions[scheduled] = PendingAction(round_, before)

    async def _act(self, active: ActiveGuardrail, scheduled: ScheduledMeasurement) -> None:
        if pending := self._pending_actions.get(scheduled):
            is_due = await self._is_due(active, pending.round.verdict)
            await self._actions.act(active, pending.round, pending.before, is_due=is_due)
            del self._pending_actions[scheduled]

    async def _is_due(self, active: ActiveGuardrail, verdict: Verdict) -> bool:
        """Return whether the bake is over; False, without a look at the log, if that makes no difference."""
        early, due = (action_of(verdict, active.guardrail, is_due=is_due) for is_due in (False, True))
        return early is not due and await self._guardrails.is_due(active)

    async def _query_all(
        self, active: ActiveGuardrail, queries: tuple[GuardrailQuery, ...], now_ms: int
    ) -> dict[str, QueryResult]:
        texts = list(dict.fromkeys(text for query in queries for text in _texts(query)))
        fresh_ms = now_ms - active.guardrail.interval_ms // 2
        not_before_ms = max(fresh_ms, active.since_ms + active.guardrail.initial_delay_ms)
        timeout = query_timeout_seconds(active.guardrail)
        answers = await asyncio.gather(
            *(self._query_prometheus(t, not_before_ms=not_before_ms, timeout_seconds=timeout) for t in texts)
        )
        return dict(zip(texts, answers, strict=True))


def _texts(query: GuardrailQuery) -> Iterator[str]:
    if query.error is None:
        yield query.query
        if query.samples:
            yield query.samples
        yield from query.baseline or ()
