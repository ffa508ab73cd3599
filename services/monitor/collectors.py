"""The metrics of single releases: what each one shows is kept until its next event or measurement."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sluiceway.clock import Clock
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.measurements import Round
from sluiceway.errors import Rejected
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, GuardrailKey
from sluiceway.pipelines.guardrail_verdicts import limit_of
from sluiceway.tasks import with_pauses
from sluiceway.telemetry.metrics import ReleaseGauge

from . import metrics
from .active_guardrails import LOOKED_AT_MAX, ActiveGuardrails
from .watched_releases import WatchedReleases

GAUGES = (
    metrics.RELEASE_PHASE,
    metrics.RELEASE_PHASES,
    metrics.GUARDRAIL_VALUE,
    metrics.GUARDRAIL_LIMIT,
    metrics.GUARDRAIL_VERDICT,
)


class Sample(NamedTuple):
    """One series of a gauge."""

    gauge: ReleaseGauge
    labels: tuple[str, ...]
    value: float


class _ShownRound(NamedTuple):
    """What a guardrail shows, by its round at `sequence` in MEASUREMENTS."""

    sequence: int
    samples: tuple[Sample, ...]


class _ShownRelease(NamedTuple):
    """What a release shows, by this event of its feature."""

    entry: FeatureEntry
    samples: tuple[Sample, ...]
    guardrails: tuple[ActiveGuardrail, ...]
    rounds: dict[GuardrailKey, _ShownRound]


class ReleaseCollector(Collector):
    """The phase of the releases that changed last, and their guardrails' values, limits and verdicts.

    `prepare` looks at each release that is shown, and at no other one; `collect` gives what it found.
    """

    def __init__(
        self,
        features: FeatureView,
        watched: WatchedReleases,
        guardrails: ActiveGuardrails,
        measurements: MeasurementView,
        clock: Clock,
    ) -> None:
        self._features = features
        self._watched = watched
        self._guardrails = guardrails
        self._measurements = measurements
        self._clock = clock
        self._shown: dict[FeatureKey, _ShownRelease] = {}
        self._samples: list[Sample] = []

    async def prepare(self) -> None:
        """Find what is shown; the loop has turns meanwhile."""
        shown: dict[FeatureKey, _ShownRelease] = {}
        samples: list[Sample] = []
        newest = self._watched.newest(metrics.RELEASE_SERIES_MAX)
        async for key in with_pauses(newest, LOOKED_AT_MAX):
            if release := self._release(key):
                shown[key] = release
                samples += release.samples
                samples += itertools.chain.from_iterable(self._guardrail_samples(release))
            if len(samples) >= metrics.RELEASE_SERIES_MAX:
                break
        self._shown, self._samples = shown, samples[: metrics.RELEASE_SERIES_MAX]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = {
            gauge.name: GaugeMetricFamily(gauge.name, gauge.documentation, labels=gauge.labels)
            for gauge in GAUGES
        }
        for gauge, labels, value in self._samples:
            families[gauge.name].add_metric(labels, value)
        yield from families.values()

    def describe(self) -> tuple[GaugeMetricFamily, ...]:
        """Declare no names: the registry would refuse them to a second monitor in the same process."""
        return ()

    def _release(self, key: FeatureKey) -> _ShownRelease | None:
        """Return what a release shows; None if it is over, or its newest event is invalid."""
        entry, known = self._features.get(key), self._shown.get(key)
        if entry is None or (known and known.entry is entry):
            return known if entry else None
        try:
            trigger = entry.event.feature.watched_trigger(self._clock())
        except Rejected:  # somebody published an invalid event; the runner logs it
            return None
        if trigger is None:
            return None
        labels = (trigger.id, trigger.pipeline.id)
        guardrails = self._guardrails.of_trigger(trigger.id)
        samples = (
            Sample(metrics.RELEASE_PHASE, (*labels, trigger.status), trigger.current + 1),
            Sample(metrics.RELEASE_PHASES, labels, len(trigger.phases)),
            *(
                Sample(metrics.GUARDRAIL_LIMIT, active.key, limit_of(active.guardrail))
                for active in guardrails
            ),
        )
        return _ShownRelease(entry, samples, guardrails, {})

    def _guardrail_samples(self, release: _ShownRelease) -> Iterator[tuple[Sample, ...]]:
        for active in release.guardrails:
            sequence = self._measurements.last_sequence(*active.key)
            known = release.rounds.get(active.key)
            if known is None or known.sequence != sequence:
                round_ = self._guardrails.last_round(active)
                known = release.rounds[active.key] = _ShownRound(sequence, _samples(active, round_))
            yield known.samples


def _samples(active: ActiveGuardrail, round_: Round | None) -> tuple[Sample, ...]:
    if round_ is None:
        return ()
    values = (
        Sample(metrics.GUARDRAIL_VALUE, (*active.key, measurement.region), measurement.value)
        for measurement in round_.measurements
        if measurement.value is not None
    )
    return (Sample(metrics.GUARDRAIL_VERDICT, (*active.key, round_.verdict), 1), *values)
