"""Which region would receive a candidate in which phase."""

from collections.abc import Iterable

from ..contracts.catalogue import Region
from ..contracts.pipeline import Pipeline
from .segments import Extent, Place, coverage


def simulate(pipeline: Pipeline, regions: Iterable[Region]) -> dict[str, dict[str, Extent]]:
    """Return, for each phase id in order, how much of each region holds the candidate by then.

    Phases add up: what an earlier one has covered stays covered.
    """
    listed = list(regions)
    return {
        phase.id: {
            region.name: coverage(pipeline.phases[: index + 1], Place.of(region)).extent for region in listed
        }
        for index, phase in enumerate(pipeline.phases)
    }
