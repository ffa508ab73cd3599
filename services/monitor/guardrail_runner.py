"""Measures every guardrail of every release that is out, each at its interval; replicas share the work."""

import asyncio
import logging
import random
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from sluiceway.clock import Clock
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.identifiers import FeatureKey, feature_of
from sluiceway.contracts.measurements import Round, Verdict
from sluiceway.errors import Conflict, Rejected, RetryLater
from sluiceway.messaging.catalogue_store import CatalogueView, StoredDocument
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore, MeasurementView
from sluiceway.pipelines.guardrail_queries import GuardrailQuery, guardrail_queries
from sluiceway.pipelines.guardrail_schedule import (
    ActiveGuardrail,
    GuardrailKey,
    active_guardrails,
    next_measurement_ms,
    query_timeout_seconds,
    round_of,
)
from sluiceway.pipelines.guardrail_verdicts import action_of
from sluiceway.pipelines.measurement import QueryResult, evaluate_measurement
from sluiceway.timers import Timers

from . import metrics
from .guardrail_actions import GuardrailActions

log = logging.getLogger(__name__)

#: A replica measures so much later than it could, at most, and at most this part of the interval later:
#: which one comes first is left to chance, and the others, when their turn has come, find it done. The
#: first measurement of a guardrail waits for nobody.
LATE_MAX_MS = 500
LATE_PART = 8
#: What could not be stored or done is tried again after this time.
RETRY_MS = 500


class QueryPrometheus(Protocol):
    """Answers a query, asked at this time (ms since the epoch) or later, or gives up; never raises."""

    async def __call__(self, query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult: ...


class ScheduledMeasurement(NamedTuple):
    """A guardrail's next measurement, of those that count from `since_ms`."""

    key: GuardrailKey
    since_ms: int


class PendingAction(NamedTuple):
    """A round that is stored and not acted on yet, and the verdict before it."""

    round: Round
    before: Verdict


class GuardrailRunner:
    """Knows what is watched, and measures it."""

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        measurements: MeasurementView,
        store: MeasurementStore,
        ask: QueryPrometheus,
        actions: GuardrailActions,
        clock: Clock,
        workers: int,
    ) -> None:
        self._features = features
        self._catalogue = catalogue
        self._measurements = measurements
        self._store = store
        self._ask = ask
        self._actions = actions
        self._clock = clock
        self._timers = Timers(self._run_due, clock, workers)
        self._scheduled: set[ScheduledMeasurement] = set()
        self._pending_actions: dict[ScheduledMeasurement, PendingAction] = {}
        self._regions: tuple[Region, ...] | None = None
        #: What is watched of a feature, as long as its newest event is this one.
        self._watched: dict[FeatureKey, tuple[FeatureEntry, tuple[ActiveGuardrail, ...]]] = {}
        #: What to ask, as long as neither the release nor a region changes.
        self._asks: dict[GuardrailKey, tuple[FeatureEntry | None, tuple[GuardrailQuery, ...]]] = {}

    def note(self, entry: FeatureEntry) -> None:
        """Take a feature's newest event: what it brings out is watched from now on."""
        for watch in self.active_guardrails(entry.key):
            self._plan(watch)

    def note_catalogue(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Take a change of the regions."""
        if kind == "region":
            self._regions = None
            self._asks.clear()

    def note_all(self) -> None:
        """Watch what was out before this process began, and forget what is over."""
        for trigger in self._measurements.triggers():
            self._forget_if_over(trigger)
        for entry in self._features:
            self.note(entry)

    async def run(self) -> None:
        """Measure until cancelled."""
        await self._timers.run()

    def active_guardrails(self, key: FeatureKey) -> tuple[ActiveGuardrail, ...]:
        """Return what is watched of a feature now."""
        entry, now_ms = self._features.get(key), self._clock()
        if entry is None or not (entry.is_active or entry.observed_until_ms > now_ms):
            self._watched.pop(key, None)
            return ()
        known = self._watched.get(key)
        if known is None or known[0] is not entry:
            known = self._watched[key] = entry, _active_guardrails_of(entry, now_ms)
        return known[1]

    def guardrail_queries(self, watch: ActiveGuardrail) -> tuple[GuardrailQuery, ...]:
        """Return what to ask for a guardrail, region by region; empty where its phase covers none."""
        entry = self._features.get(feature_of(watch.trigger.id))
        known = self._asks.get(watch.key)
        if known is None or known[0] is not entry:
            known = entry, guardrail_queries(watch.guardrail, watch.trigger, watch.phase, self.regions)
            self._asks[watch.key] = known
        return known[1]

    def last(self, watch: ActiveGuardrail) -> Round | None:
        """Return the newest look at a guardrail, of those that count."""
        stored = self._measurements.get(*watch.key)
        return stored.round if stored and stored.round.since_ms == watch.since_ms else None

    @property
    def regions(self) -> tuple[Region, ...]:
        if self._regions is None:
            documents = [stored.document for stored in self._catalogue.all("region")]
            self._regions = tuple(region for region in documents if isinstance(region, Region))
        return self._regions

    def _forget_if_over(self, trigger: str) -> None:
        if not any(watch.trigger.id == trigger for watch in self.active_guardrails(feature_of(trigger))):
            self._measurements.forget(trigger)

    def _plan(self, watch: ActiveGuardrail) -> None:
        scheduled = ScheduledMeasurement(watch.key, watch.since_ms)
        if scheduled in self._scheduled:
            return
        self._scheduled.add(scheduled)
        last = self.last(watch)
        if last and action_of(last.verdict, watch.guardrail, is_due=False):
            # whoever stored that round may have died before it acted
            self._pending_actions[scheduled] = PendingAction(last, last.verdict)
            self._timers.push(self._clock(), scheduled)
        else:
            self._push(watch, scheduled)

    def _push(self, watch: ActiveGuardrail, scheduled: ScheduledMeasurement) -> None:
        last = self.last(watch)
        if last:
            self._push_behind(watch, scheduled, last.time_ms)
        else:
            self._timers.push(next_measurement_ms(watch, None), scheduled)

    def _push_behind(self, watch: ActiveGuardrail, scheduled: ScheduledMeasurement, last_ms: int) -> None:
        late_ms = random.randrange(min(LATE_MAX_MS, watch.guardrail.interval_ms // LATE_PART))  # noqa: S311
        self._timers.push(next_measurement_ms(watch, last_ms) + late_ms, scheduled)

    async def _run_due(self, scheduled: ScheduledMeasurement) -> None:
        watch = self._find(scheduled)
        if watch is None:
            self._scheduled.discard(scheduled)
            self._asks.pop(scheduled.key, None)
            self._pending_actions.pop(scheduled, None)
            self._forget_if_over(scheduled.key.trigger)
            return
        last = self.last(watch)
        if (
            scheduled not in self._pending_actions
            and last
            and next_measurement_ms(watch, last.time_ms) > self._clock()
        ):
            self._push(watch, scheduled)  # another replica has measured
            return
        try:
            if scheduled not in self._pending_actions:
                await self._look(watch, scheduled, last)
            await self._follow(watch, scheduled)
            # also where nothing could be asked, or the view has not seen another replica's round yet
            self._push_behind(watch, scheduled, self._clock())
        except RetryLater as error:
            log.warning("%s cannot be measured now: %s", ".".join(scheduled.key), error)
            self._timers.push(self._clock() + RETRY_MS, scheduled)
        except Exception:
            log.exception("a fault of ours with the guardrail %s", ".".join(scheduled.key))
            self._pending_actions.pop(scheduled, None)
            self._timers.push(self._clock() + watch.guardrail.interval_ms, scheduled)

    async def _look(
        self, watch: ActiveGuardrail, scheduled: ScheduledMeasurement, last: Round | None
    ) -> None:
        round_ = await self._measure(watch, last, self._measurements.last_sequence(*watch.key))
        if round_:
            self._pending_actions[scheduled] = PendingAction(
                round_, last.verdict if last else Verdict.PENDING
            )

    async def _follow(self, watch: ActiveGuardrail, scheduled: ScheduledMeasurement) -> None:
        if pending := self._pending_actions.get(scheduled):
            await self._actions.follow(watch, pending.round, pending.before)
            del self._pending_actions[scheduled]

    def _find(self, scheduled: ScheduledMeasurement) -> ActiveGuardrail | None:
        found = self.active_guardrails(feature_of(scheduled.key.trigger))
        return next((w for w in found if w.key == scheduled.key and w.since_ms == scheduled.since_ms), None)

    async def _measure(self, watch: ActiveGuardrail, last: Round | None, tail: int) -> Round | None:
        """Measure once and store it; None where there is nothing to ask, or another replica was first.

        `tail` was read together with `last`: what came since then is not counted in, and must win.
        """
        asked = self.guardrail_queries(watch)
        if not asked:
            return None
        now_ms = self._clock()
        answers = await self._answers(watch, asked, now_ms)
        round_ = round_of(
            watch, last, [evaluate_measurement(watch.guardrail, ask, answers) for ask in asked], now_ms
        )
        try:
            await self._store.store_round(round_, tail)
        except Conflict:
            return None
        metrics.GUARDRAIL_ROUNDS.labels(round_.verdict).inc()
        return round_

    async def _answers(
        self, watch: ActiveGuardrail, asked: tuple[GuardrailQuery, ...], now_ms: int
    ) -> dict[str, QueryResult]:
        queries = list(dict.fromkeys(query for ask in asked for query in _queries(ask)))
        fresh_ms = now_ms - watch.guardrail.interval_ms // 2
        not_before_ms = max(fresh_ms, watch.since_ms + watch.guardrail.initial_delay_ms)
        within = query_timeout_seconds(watch.guardrail)
        found = await asyncio.gather(
            *(self._ask(query, not_before_ms=not_before_ms, timeout_seconds=within) for query in queries)
        )
        return dict(zip(queries, found, strict=True))


def _active_guardrails_of(entry: FeatureEntry, now_ms: int) -> tuple[ActiveGuardrail, ...]:
    try:
        trigger = entry.event.feature.watched_trigger(now_ms)
    except Rejected as error:
        log.error("%s cannot be watched: %s", entry.key, error)
        return ()
    return tuple(active_guardrails(trigger)) if trigger else ()


def _queries(ask: GuardrailQuery) -> Iterator[str]:
    if ask.fault is None:
        yield ask.query
        if ask.samples:
            yield ask.samples
        yield from ask.baseline or ()
