"""May this trigger leave this phase? Asked at the moment when the phase is due."""

from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import FeatureKey


class Clearance:
    """Collects what forbids to leave a phase."""

    async def holds(self, key: FeatureKey, trigger: Trigger) -> tuple[str, ...]:
        """Return why the trigger may not leave its current phase; empty where it may."""
        return ()
