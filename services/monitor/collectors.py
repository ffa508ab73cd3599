"""The metrics of single releases, collected at each scrape."""

import itertools
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sluiceway.clock import Clock
from sluiceway.contracts.feature import Trigger
from sluiceway.errors import Rejected
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail
from sluiceway.pipelines.guardrail_verdicts import limit_of
from sluiceway.telemetry.metrics import ReleaseGauge

from . import metrics
from .active_guardrails import ActiveGuardrails

GAUGES = (
    metrics.RELEASE_PHASE,
    metrics.RELEASE_PHASES,
    metrics.GUARDRAIL_VALUE,
    metrics.GUARDRAIL_LIMIT,
    metrics.GUARDRAIL_VERDICT,
)
Sample = tuple[ReleaseGauge, tuple[str, ...], float]


class ReleaseCollector(Collector):
    """The phase of every release that is out, and its guardrails' values, limits and verdicts."""

    def __init__(self, features: FeatureView, guardrails: ActiveGuardrails, clock: Clock) -> None:
        self._features = features
        self._guardrails = guardrails
        self._clock = clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = {
            gauge.name: GaugeMetricFamily(gauge.name, gauge.documentation, labels=gauge.labels)
            for gauge in GAUGES
        }
        for gauge, labels, value in itertools.islice(self._samples(), metrics.RELEASE_SERIES_MAX):
            families[gauge.name].add_metric(labels, value)
        yield from families.values()

    def describe(self) -> tuple[GaugeMetricFamily, ...]:
        """Declare no names: the registry would refuse them to a second monitor in the same process."""
        return ()

    def _samples(self) -> Iterator[Sample]:
        """Yield all samples, newest releases first."""
        for trigger in sorted(self._triggers(), key=lambda trigger: trigger.created_ms, reverse=True):
            labels = (trigger.id, trigger.pipeline.id)
            yield metrics.RELEASE_PHASE, (*labels, trigger.status), trigger.current + 1
            yield metrics.RELEASE_PHASES, labels, len(trigger.phases)
            for active in self._guardrails.of_trigger(trigger.id):
                yield from self._guardrail(active)

    def _triggers(self) -> Iterator[Trigger]:
        now_ms = self._clock()
        for entry in self._features:
            if entry.is_active or entry.observed_until_ms > now_ms:
                try:
                    trigger = entry.event.feature.watched_trigger(now_ms)
                except Rejected:  # somebody published an invalid event; the runner logs it
                    continue
                if trigger:
                    yield trigger

    def _guardrail(self, active: ActiveGuardrail) -> Iterator[Sample]:
        yield metrics.GUARDRAIL_LIMIT, active.key, limit_of(active.guardrail)
        round_ = self._guardrails.last_round(active)
        if round_ is None:
            return
        yield metrics.GUARDRAIL_VERDICT, (*active.key, round_.verdict), 1
        for measurement in round_.measurements:
            if measurement.value is not None:
                yield metrics.GUARDRAIL_VALUE, (*active.key, measurement.region), measurement.value
