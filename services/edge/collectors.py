"""The releases that have reached this region, collected at a scrape."""

from collections.abc import Iterator

from cachetools import LRUCache
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.contracts.identifiers import FeatureKey

from . import metrics

#: Features whose releases are shown: those that changed last.
FEATURES_MAX = 500


class AppliedReleaseCollector(Collector):
    """The release that each recently changed feature has here."""

    def __init__(self, rules: RegionRules) -> None:
        self._rules = rules
        self._changed: LRUCache[FeatureKey, None] = LRUCache(FEATURES_MAX)

    def add(self, change: AppliedChange) -> None:
        """Add a change that was applied."""
        self._changed[FeatureKey(change.kind, change.name)] = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        gauge = metrics.RELEASE_APPLIED
        family = GaugeMetricFamily(gauge.name, gauge.documentation, labels=gauge.labels)
        for key in self._changed:
            if trigger := self._rules.trigger(key):
                family.add_metric((self._rules.region, trigger), 1)
        yield family

    def describe(self) -> tuple[GaugeMetricFamily, ...]:
        """Describe nothing: a second edge in the same process could not register the same names."""
        return ()
