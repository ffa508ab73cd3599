"""What dashboards show of single releases, gathered at a scrape."""

import itertools
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sluiceway.clock import Clock
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import feature_of
from sluiceway.errors import Rejected
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail
from sluiceway.pipelines.guardrail_verdicts import limit_of
from sluiceway.telemetry.metrics import ReleaseGauge

from . import metrics
from .guardrail_runner import GuardrailRunner

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

    def __init__(self, features: FeatureView, watching: GuardrailRunner, clock: Clock) -> None:
        self._features = features
        self._watching = watching
        self._clock = clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = {
            one.name: GaugeMetricFamily(one.name, one.documentation, labels=one.labels) for one in GAUGES
        }
        for gauge, labels, value in itertools.islice(self._samples(), metrics.RELEASE_SERIES_MAX):
            families[gauge.name].add_metric(labels, value)
        yield from families.values()

    def describe(self) -> tuple[GaugeMetricFamily, ...]:
        """Name nothing in advance: a name would be refused to a second monitor in the same process."""
        return ()

    def _samples(self) -> Iterator[Sample]:
        """Give what is to be shown, newest releases first."""
        for trigger in sorted(self._triggers(), key=lambda one: one.created_ms, reverse=True):
            named = (trigger.id, trigger.pipeline.id)
            yield metrics.RELEASE_PHASE, (*named, trigger.status), trigger.current + 1
            yield metrics.RELEASE_PHASES, named, len(trigger.phases)
            for watch in self._watching.active_guardrails(feature_of(trigger.id)):
                yield from self._guardrail(watch)

    def _triggers(self) -> Iterator[Trigger]:
        now_ms = self._clock()
        for entry in self._features:
            if entry.is_active or entry.observed_until_ms > now_ms:
                try:
                    trigger = entry.event.feature.watched_trigger(now_ms)
                except Rejected:  # somebody else published what is no event; it is told in the log
                    continue
                if trigger:
                    yield trigger

    def _guardrail(self, watch: ActiveGuardrail) -> Iterator[Sample]:
        yield metrics.GUARDRAIL_LIMIT, watch.key, limit_of(watch.guardrail)
        round_ = self._watching.last(watch)
        if round_ is None:
            return
        yield metrics.GUARDRAIL_VERDICT, (*watch.key, round_.verdict), 1
        for one in round_.measurements:
            if one.value is not None:
                yield metrics.GUARDRAIL_VALUE, (*watch.key, one.region), one.value
