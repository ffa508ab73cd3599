"""The marks that say that everything a region receives is published."""

from collections.abc import Iterable

from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rule_store import RuleStore

from .grouped_regions import RegionGroup


class RegionMarks:
    """Marks the sets of regions in which everything was checked."""

    def __init__(self, features: FeatureView, rules: RuleStore, group: RegionGroup) -> None:
        self._features = features
        self._rules = rules
        self._group = group
        #: Regions whose set is still to be marked as complete.
        self.missing: set[str] = set()
        #: Whether the marks say that the log is empty.
        self.say_empty = False

    def add(self, region: str) -> None:
        """Mark a region's set, too."""
        self.missing.add(region)

    def add_all(self) -> None:
        """Mark the sets of all regions of the group."""
        self.missing.update(self._regions())

    async def write(self) -> None:
        """Write the missing marks, of regions that the catalogue holds."""
        if missing := self._unmarked():
            end = self._features.position.sequence
            self.say_empty = end == 0
            await self._rules.mark_complete(sorted(missing), end)
        self.missing = self._unmarked()

    def _unmarked(self) -> set[str]:
        regions = self.missing.intersection(self._regions())
        return {region for region in regions if not self._rules.is_marked(region)}

    def _regions(self) -> Iterable[str]:
        return (region.name for region, _ in self._group.regions())
