"""A phase whose bake is over: what is asked about it before it is left."""

from typing import NamedTuple

from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.pipeline import Phase


class BakedPhase(NamedTuple):
    """The current phase of an active trigger, by the event that set its deadline."""

    event: FeatureEvent
    #: The sequence of the event.
    revision: int

    @property
    def trigger(self) -> Trigger:
        trigger = self.event.feature.trigger
        assert trigger
        return trigger

    @property
    def phase(self) -> Phase:
        return self.trigger.current_run.phase
