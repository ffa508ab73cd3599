"""Which guardrails of a release are measured, when, and the rounds that they result in."""

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

#: Guardrails with equal queries are measured within this part of their interval, to share an answer.
SPREAD = 8
#: Guardrails whose offset in the interval is cached.
OFFSETS_MAX = 20_000

#: A query may take as long as the interval of its guardrail, but never less or more than this.
TIMEOUT_MIN_SECONDS, TIMEOUT_MAX_SECONDS = 1.0, 10.0
#: A busy monitor may be late by this, in addition to the time of its queries.
LATE_MS = 2_000


class GuardrailKey(NamedTuple):
    """Identifies a guardrail of a release."""

    trigger: str
    phase: str
    guardrail: str


class ActiveGuardrail(NamedTuple):
    """A guardrail of a phase that is out. Its measurements count from `since_ms` on."""

    trigger: Trigger
    phase: Phase
    guardrail: MetricGuardrail
    since_ms: int

    @property
    def key(self) -> GuardrailKey:
        return GuardrailKey(self.trigger.id, self.phase.id, self.guardrail.name)


def active_guardrails(trigger: Trigger) -> Iterator[ActiveGuardrail]:
    """Yield the metric guardrails of every phase that is out, also while the release waits or is paused.

    Measurements count from the start of the phase. Unpausing the release starts the count again.
    """
    resumed_ms = max((a.time_ms for a in trigger.actions if a.type is ActionType.UNPAUSED), default=0)
    for run in trigger.phases:
        started_ms = _out_since(trigger, run)
        if started_ms is not None:
            for guardrail in run.phase.guardrails:
                if isinstance(guardrail, MetricGuardrail):
                    yield ActiveGuardrail(trigger, run.phase, guardrail, max(started_ms, resumed_ms))


def count_metric_guardrails(trigger: Trigger) -> int:
    """Return how many metric guardrails all phases of a release have, those that are not out yet as well."""
    guardrails = (guardrail for run in trigger.phases for guardrail in run.phase.guardrails)
    return sum(isinstance(guardrail, MetricGuardrail) for guardrail in guardrails)


def next_measurement_ms(active: ActiveGuardrail, last_ms: int | None) -> int:
    """Return when to measure next, after a measurement at `last_ms`.

    The first measurement comes after `initialDelay`. Later ones come at a fixed offset in the interval,
    which depends on the query: equal queries come so close together that they share one answer, yet not
    at the same instant; different queries are spread.
    """
    interval = active.guardrail.interval_ms
    if last_ms is None:
        return active.since_ms + active.guardrail.initial_delay_ms
    earliest = last_ms + interval // 2
    offset = _offset(active.guardrail.query, active.trigger.pipeline.id, active.phase.id, active.trigger.id)
    shift = zlib.crc32(active.trigger.id.encode()) % (interval // SPREAD)
    return earliest + (offset + shift - earliest) % interval


@lru_cache(maxsize=OFFSETS_MAX)
def _offset(query: str, pipeline: str, phase: str, trigger: str) -> int:
    """Return a number that is the same for equal queries, whatever their regions."""
    return zlib.crc32(fill_without_regions(query, placeholder_values(trigger, pipeline, phase)).encode())


def round_of(
    active: ActiveGuardrail, last: Round | None, measurements: list[Measurement], now_ms: int
) -> Round:
    """Return a round of measurements, with the counts of the last round continued."""
    before = last.tallies if last else {}
    tallies = {m.region: count_measurement(before.get(m.region, Tally()), m.judgement) for m in measurements}
    verdicts = {region: verdict_of(tally, active.guardrail) for region, tally in tallies.items()}
    worst = min(measurements, key=lambda m: WORST_FIRST.index(verdicts[m.region]))
    return Round(
        trigger=active.trigger.id,
        phase_id=active.phase.id,
        guardrail=active.guardrail.name,
        since_ms=active.since_ms,
        time_ms=now_ms,
        measurements=tuple(measurements),
        tallies=tallies,
        verdict=worst_verdict(verdicts.values()),
        region=worst.region,
        why=worst.why,
    )


def query_timeout_seconds(guardrail: MetricGuardrail) -> float:
    """Return how long a query may take: a measurement must be over before the next one starts."""
    return min(max(guardrail.interval_ms / 1_000, TIMEOUT_MIN_SECONDS), TIMEOUT_MAX_SECONDS)


def is_due(trigger: Trigger, now_ms: int) -> bool:
    """Return whether the bake of the current phase is over. Nothing bakes while a release is paused."""
    return trigger.due_ms is not None and trigger.due_ms <= now_ms


def is_overdue(active: ActiveGuardrail, last_ms: int, now_ms: int) -> bool:
    """Return whether the measurement after the one at `last_ms` is late, so that the last one is outdated."""
    late_ms = query_timeout_seconds(active.guardrail) * 1_000 + LATE_MS
    return now_ms > next_measurement_ms(active, last_ms) + late_ms


def _out_since(trigger: Trigger, run: PhaseRun) -> int | None:
    """Return since when a phase has the candidate: after a completed release every phase has it."""
    if run.started_ms is None and trigger.status is TriggerStatus.COMPLETED:
        return trigger.ended_ms
    return run.started_ms
