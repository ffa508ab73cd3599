"""Which region would receive a candidate in which phase."""

from collections.abc import Iterable

from ..contracts.catalogue import Region
from ..contracts.feature import ActionType, Trigger
from ..contracts.identifiers import FeatureKey
from ..contracts.pipeline import Pipeline
from . import transitions
from .segments import Extent, Location, coverage

#: From the smallest to the largest.
EXTENTS = (Extent.NONE, Extent.PARTLY, Extent.FULLY)


def simulate_coverage(pipeline: Pipeline, regions: Iterable[Region]) -> dict[str, dict[str, Extent]]:
    """Return, for each phase id in order, how much of each region holds the candidate by then.

    Phases add up: what an earlier one has covered stays covered. Each rule is read one time for a region.
    """
    by_phase: dict[str, dict[str, Extent]] = {}
    listed = list(regions)
    covered = {region.name: Extent.NONE for region in listed}
    for phase in pipeline.phases:
        for region in listed:
            if covered[region.name] is not Extent.FULLY:
                extent = coverage([phase], Location.of(region)).extent
                covered[region.name] = max(covered[region.name], extent, key=EXTENTS.index)
        by_phase[phase.id] = dict(covered)
    return by_phase


def simulated_trigger(pipeline: Pipeline, phase: int, key: FeatureKey, now_ms: int) -> Trigger:
    """Return the trigger of a simulated release of this feature while a phase (an index) bakes."""
    action = transitions.action_record(
        ActionType.STARTED, now_ms=now_ms, phase_id=None, actor="simulation", reason=None
    )
    trigger = transitions.baking(transitions.started(key, 1, pipeline, action), now_ms)
    for _ in range(phase):
        trigger = transitions.baking(transitions.left(trigger, now_ms), now_ms)
    return trigger
