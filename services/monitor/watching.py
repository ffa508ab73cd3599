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
from sluiceway.messaging.catalogue_store import CatalogueView, Stored
from sluiceway.messaging.feature_view import Entry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore, MeasurementView
from sluiceway.pipelines.guardrails import action_of
from sluiceway.pipelines.judging import Answer, judge
from sluiceway.pipelines.queries import Ask, asks
from sluiceway.pipelines.watching import Watch, WatchKey, next_ms, round_of, watches, within_seconds
from sluiceway.telemetry import metrics
from sluiceway.timers import Timers

from .acting import Actions

log = logging.getLogger(__name__)

#: A replica measures so much later than it could, at most, and at most this part of the interval later:
#: which one comes first is left to chance, and the others, when their turn has come, find it done. The
#: first measurement of a guardrail waits for nobody.
LATE_MAX_MS = 500
LATE_PART = 8
#: What could not be stored or done is tried again after this time.
RETRY_MS = 500


class AskPrometheus(Protocol):
    """Answers a query, asked at this time (ms since the epoch) or later, or gives up; never raises."""

    async def __call__(self, query: str, *, not_before_ms: int, within_seconds: float) -> Answer: ...


class Turn(NamedTuple):
    """A guardrail's next measurement, of those that count from `since_ms`."""

    key: WatchKey
    since_ms: int


class Owed(NamedTuple):
    """A round that is stored and not acted on yet, and the verdict before it."""

    round: Round
    before: Verdict


class Watching:
    """Knows what is watched, and measures it."""

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        measurements: MeasurementView,
        store: MeasurementStore,
        ask: AskPrometheus,
        actions: Actions,
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
        self._timers = Timers(self._meet, clock, workers)
        self._turns: set[Turn] = set()
        self._owed: dict[Turn, Owed] = {}
        self._regions: tuple[Region, ...] | None = None
        #: What is watched of a feature, as long as its newest event is this one.
        self._watched: dict[FeatureKey, tuple[Entry, tuple[Watch, ...]]] = {}
        #: What to ask, as long as neither the release nor a region changes.
        self._asks: dict[WatchKey, tuple[Entry | None, tuple[Ask, ...]]] = {}

    def note(self, entry: Entry) -> None:
        """Take a feature's newest event: what it brings out is watched from now on."""
        for watch in self.watches(entry.key):
            self._plan(watch)

    def note_catalogue(self, kind: str, id_: str, stored: Stored | None) -> None:
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

    def watches(self, key: FeatureKey) -> tuple[Watch, ...]:
        """Return what is watched of a feature now."""
        entry, now_ms = self._features.get(key), self._clock()
        if entry is None or not (entry.is_active or entry.observed_until_ms > now_ms):
            self._watched.pop(key, None)
            return ()
        known = self._watched.get(key)
        if known is None or known[0] is not entry:
            known = self._watched[key] = entry, _watches_of(entry, now_ms)
        return known[1]

    def asks(self, watch: Watch) -> tuple[Ask, ...]:
        """Return what to ask for a guardrail, region by region; empty where its phase covers none."""
        entry = self._features.get(feature_of(watch.trigger.id))
        known = self._asks.get(watch.key)
        if known is None or known[0] is not entry:
            known = entry, asks(watch.guardrail, watch.trigger, watch.phase, self.regions)
            self._asks[watch.key] = known
        return known[1]

    def last(self, watch: Watch) -> Round | None:
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
        if not any(watch.trigger.id == trigger for watch in self.watches(feature_of(trigger))):
            self._measurements.forget(trigger)

    def _plan(self, watch: Watch) -> None:
        turn = Turn(watch.key, watch.since_ms)
        if turn in self._turns:
            return
        self._turns.add(turn)
        last = self.last(watch)
        if last and action_of(last.verdict, watch.guardrail, is_due=False):
            # whoever stored that round may have died before it acted
            self._owed[turn] = Owed(last, last.verdict)
            self._timers.push(self._clock(), turn)
        else:
            self._push(watch, turn)

    def _push(self, watch: Watch, turn: Turn) -> None:
        last = self.last(watch)
        if last:
            self._push_behind(watch, turn, last.time_ms)
        else:
            self._timers.push(next_ms(watch, None), turn)

    def _push_behind(self, watch: Watch, turn: Turn, last_ms: int) -> None:
        late_ms = random.randrange(min(LATE_MAX_MS, watch.guardrail.interval_ms // LATE_PART))  # noqa: S311
        self._timers.push(next_ms(watch, last_ms) + late_ms, turn)

    async def _meet(self, turn: Turn) -> None:
        watch = self._find(turn)
        if watch is None:
            self._turns.discard(turn)
            self._asks.pop(turn.key, None)
            self._owed.pop(turn, None)
            self._forget_if_over(turn.key.trigger)
            return
        last = self.last(watch)
        if turn not in self._owed and last and next_ms(watch, last.time_ms) > self._clock():
            self._push(watch, turn)  # another replica has measured
            return
        try:
            if turn not in self._owed:
                await self._look(watch, turn, last)
            await self._follow(watch, turn)
            # also where nothing could be asked, or the view has not seen another replica's round yet
            self._push_behind(watch, turn, self._clock())
        except RetryLater as error:
            log.warning("%s cannot be measured now: %s", ".".join(turn.key), error)
            self._timers.push(self._clock() + RETRY_MS, turn)
        except Exception:
            log.exception("a fault of ours with the guardrail %s", ".".join(turn.key))
            self._owed.pop(turn, None)
            self._timers.push(self._clock() + watch.guardrail.interval_ms, turn)

    async def _look(self, watch: Watch, turn: Turn, last: Round | None) -> None:
        round_ = await self._measure(watch, last, self._measurements.tail(*watch.key))
        if round_:
            self._owed[turn] = Owed(round_, last.verdict if last else Verdict.PENDING)

    async def _follow(self, watch: Watch, turn: Turn) -> None:
        if owed := self._owed.get(turn):
            await self._actions.follow(watch, owed.round, owed.before)
            del self._owed[turn]

    def _find(self, turn: Turn) -> Watch | None:
        found = self.watches(feature_of(turn.key.trigger))
        return next((w for w in found if w.key == turn.key and w.since_ms == turn.since_ms), None)

    async def _measure(self, watch: Watch, last: Round | None, tail: int) -> Round | None:
        """Measure once and store it; None where there is nothing to ask, or another replica was first.

        `tail` was read together with `last`: what came since then is not counted in, and must win.
        """
        asked = self.asks(watch)
        if not asked:
            return None
        now_ms = self._clock()
        answers = await self._answers(watch, asked, now_ms)
        round_ = round_of(watch, last, [judge(watch.guardrail, ask, answers) for ask in asked], now_ms)
        try:
            await self._store.store_round(round_, tail)
        except Conflict:
            return None
        metrics.GUARDRAIL_ROUNDS.labels(round_.verdict).inc()
        return round_

    async def _answers(self, watch: Watch, asked: tuple[Ask, ...], now_ms: int) -> dict[str, Answer]:
        queries = list(dict.fromkeys(query for ask in asked for query in _queries(ask)))
        fresh_ms = now_ms - watch.guardrail.interval_ms // 2
        not_before_ms = max(fresh_ms, watch.since_ms + watch.guardrail.initial_delay_ms)
        within = within_seconds(watch.guardrail)
        found = await asyncio.gather(
            *(self._ask(query, not_before_ms=not_before_ms, within_seconds=within) for query in queries)
        )
        return dict(zip(queries, found, strict=True))


def _watches_of(entry: Entry, now_ms: int) -> tuple[Watch, ...]:
    try:
        trigger = entry.event.feature.watched_trigger(now_ms)
    except Rejected as error:
        log.error("%s cannot be watched: %s", entry.key, error)
        return ()
    return tuple(watches(trigger)) if trigger else ()


def _queries(ask: Ask) -> Iterator[str]:
    if ask.fault is None:
        yield ask.query
        if ask.samples:
            yield ask.samples
        yield from ask.baseline or ()
