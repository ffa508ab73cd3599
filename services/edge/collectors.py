"""Which releases have reached this region, gathered at a scrape."""

from collections import OrderedDict
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.contracts.identifiers import FeatureKey

from . import metrics

#: Features whose releases are shown: those that changed last.
FEATURES_MAX = 500


class AppliedReleaseCollector(Collector):
    """The trigger whose spec each feature that changed lately has here."""

    def __init__(self, rules: RegionRules) -> None:
        self._rules = rules
        self._changed: OrderedDict[FeatureKey, None] = OrderedDict()

    def note(self, change: AppliedChange) -> None:
        """Take a change that was applied."""
        key = FeatureKey(change.kind, change.name)
        self._changed[key] = None
        self._changed.move_to_end(key)
        while len(self._changed) > FEATURES_MAX:
            self._changed.popitem(last=False)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        gauge = metrics.RELEASE_APPLIED
        family = GaugeMetricFamily(gauge.name, gauge.documentation, labels=gauge.labels)
        for key in self._changed:
            document = self._rules.document(key)
            if document and document.trigger:
                family.add_metric((self._rules.region, document.trigger), 1)
        yield family

    def describe(self) -> tuple[GaugeMetricFamily, ...]:
        """Name nothing in advance: a name would be refused to a second edge in the same process."""
        return ()
