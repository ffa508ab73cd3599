"""What an action would do, exactly: from the very event that the scheduler would write."""

from collections.abc import Iterable
from typing import NamedTuple

from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.durations import format_duration
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, Trigger, TriggerStatus
from sluiceway.pipelines.segments import Extent, Location, coverage


class Impact(NamedTuple):
    """What changes, and for which regions."""

    #: Regions that receive the candidate, or more of it, at once.
    gained: tuple[str, ...]
    #: Regions that go back to what is live outside the release.
    lost: tuple[str, ...]
    #: Regions for which nothing changes.
    kept: tuple[str, ...]
    #: Where the release stands afterwards.
    then: str


def impact_of(before: Feature, event: FeatureEvent, regions: Iterable[Region]) -> Impact:
    """Return what follows for each region, and for the release, from an event that may happen."""
    gained, lost, kept = [], [], []
    for region in sorted(regions, key=lambda region: region.name):
        had, has = _extent(before.trigger, region), _extent(event.feature.trigger, region)
        if had == has:
            kept.append(region.name)
        elif has == Extent.NONE:
            lost.append(region.name)
        else:
            gained.append(region.name)
    return Impact(tuple(gained), tuple(lost), tuple(kept), _then(event.feature.trigger, event.time_ms))


def _extent(trigger: Trigger | None, region: Region) -> Extent:
    """Return how much of a region holds the candidate."""
    if trigger is None:
        return Extent.NONE
    if trigger.status is TriggerStatus.COMPLETED:
        return Extent.FULLY
    if not trigger.status.is_active:
        return Extent.NONE
    return coverage(trigger.released, Location.of(region)).extent


def _then(trigger: Trigger | None, now_ms: int) -> str:
    if trigger is None:
        return "There is no release."
    phase = trigger.current_run.phase
    match trigger.status:
        case TriggerStatus.COMPLETED:
            return "The release is completed: the candidate is live for everyone, too late for an abort."
        case TriggerStatus.ABORTED | TriggerStatus.ROLLED_BACK:
            return "The release is over; another try needs a new change."
        case TriggerStatus.PAUSED:
            left = format_duration(trigger.remaining_ms or 0)
            return f"Phase {phase.name} stands still with {left} of its bake left."
        case TriggerStatus.WAITING_FOR_REVIEW:
            needed = phase.approvals.count if phase.approvals else 1
            missing = needed - len(trigger.current_run.approvals)
            return f"Phase {phase.name} waits for {missing} approval{'' if missing == 1 else 's'}."
        case _ if trigger.held:
            return f"Phase {phase.name} stays, held by {'; '.join(trigger.held)}."
        case _:
            left = format_duration((trigger.due_ms or now_ms) - now_ms)
            return f"Phase {phase.name} bakes for {left}; then the release goes on by itself."
