"""Which guardrails of a release are to be measured, when, and what the measurements amount to."""

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ..contracts.feature import ActionType, PhaseRun, Trigger, TriggerStatus
from ..contracts.guardrails import MetricGuardrail
from ..contracts.measurements import Measurement, Round, Tally
from ..contracts.pipeline import Phase
from .guardrail_queries import fill_without_regions, placeholder_values
from .guardrail_verdicts import WORST_FIRST, count_measurement, verdict_of, worst_verdict

#: Guardrails that ask the same look at the answer within this part of their interval.
SPREAD = 8
#: Guardrails whose place on the grid is remembered.
PLACES_MAX = 20_000

#: A query may take as long as its interval, but never less or more than this.
ANSWER_MIN_SECONDS, ANSWER_MAX_SECONDS = 1.0, 10.0
#: A busy monitor may be late by so much, beside what its queries take.
LATE_MS = 2_000


class GuardrailKey(NamedTuple):
    """Names a guardrail of a release."""

    trigger: str
    phase: str
    guardrail: str


class ActiveGuardrail(NamedTuple):
    """A guardrail to be measured, from `since_ms` on."""

    trigger: Trigger
    phase: Phase
    guardrail: MetricGuardrail
    since_ms: int

    @property
    def key(self) -> GuardrailKey:
        return GuardrailKey(self.trigger.id, self.phase.id, self.guardrail.name)


def active_guardrails(trigger: Trigger) -> Iterator[ActiveGuardrail]:
    """Give the guardrails of every phase that is out, also while the next one waits, or all stand paused.

    Measurements count from the start of the phase; whoever unpauses a release lets them count anew.
    """
    resumed_ms = max((a.time_ms for a in trigger.actions if a.type is ActionType.UNPAUSED), default=0)
    for run in trigger.phases:
        started_ms = _out_since(trigger, run)
        if started_ms is not None:
            for guardrail in run.phase.guardrails:
                if isinstance(guardrail, MetricGuardrail):
                    yield ActiveGuardrail(trigger, run.phase, guardrail, max(started_ms, resumed_ms))


def next_measurement_ms(watch: ActiveGuardrail, last_ms: int | None) -> int:
    """Return when to measure next, after a measurement at `last_ms`.

    The first one comes after `initialDelay`. Later ones stand on a grid of the interval, at a place
    that depends on the query: equal queries come so close together that one answer does for all,
    yet not at one instant; others are spread.
    """
    interval = watch.guardrail.interval_ms
    if last_ms is None:
        return watch.since_ms + watch.guardrail.initial_delay_ms
    earliest = last_ms + interval // 2
    place = _place(watch.guardrail.query, watch.trigger.pipeline.id, watch.phase.id, watch.trigger.id)
    shift = zlib.crc32(watch.trigger.id.encode()) % (interval // SPREAD)
    return earliest + (place + shift - earliest) % interval


@lru_cache(maxsize=PLACES_MAX)
def _place(query: str, pipeline: str, phase: str, trigger: str) -> int:
    """Return a number that is the same for equal queries, in whatever regions they are asked."""
    return zlib.crc32(fill_without_regions(query, placeholder_values(trigger, pipeline, phase)).encode())


def round_of(watch: ActiveGuardrail, last: Round | None, measured: list[Measurement], now_ms: int) -> Round:
    """Return a look at a guardrail, counted on from the last one."""
    before = last.tallies if last else {}
    tallies = {
        one.region: count_measurement(before.get(one.region, Tally()), one.judgement) for one in measured
    }
    verdicts = {region: verdict_of(tally, watch.guardrail) for region, tally in tallies.items()}
    worst = min(measured, key=lambda one: WORST_FIRST.index(verdicts[one.region]))
    return Round(
        trigger=watch.trigger.id,
        phase_id=watch.phase.id,
        guardrail=watch.guardrail.name,
        since_ms=watch.since_ms,
        time_ms=now_ms,
        measurements=tuple(measured),
        tallies=tallies,
        verdict=worst_verdict(verdicts.values()),
        region=worst.region,
        why=worst.why,
    )


def query_timeout_seconds(guardrail: MetricGuardrail) -> float:
    """Return how long its queries may take: a measurement must be over before the next one is due."""
    return min(max(guardrail.interval_ms / 1_000, ANSWER_MIN_SECONDS), ANSWER_MAX_SECONDS)


def is_due(trigger: Trigger, now_ms: int) -> bool:
    """Return whether the bake of the current phase is over. Nothing bakes while a release is paused."""
    return trigger.due_ms is not None and trigger.due_ms <= now_ms


def is_overdue(watch: ActiveGuardrail, last_ms: int, now_ms: int) -> bool:
    """Say whether the next measurement should have come by now: the last one says nothing of now."""
    borne_ms = query_timeout_seconds(watch.guardrail) * 1_000 + LATE_MS
    return now_ms > next_measurement_ms(watch, last_ms) + borne_ms


def _out_since(trigger: Trigger, run: PhaseRun) -> int | None:
    """Return since when a phase has the candidate; a completed release has given it to all of them."""
    if run.started_ms is None and trigger.status is TriggerStatus.COMPLETED:
        return trigger.ended_ms
    return run.started_ms
