"""What an action would do: computed from the event that the scheduler would write."""

from collections.abc import Iterable
from typing import NamedTuple

from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.durations import format_duration
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, Trigger, TriggerStatus
from sluiceway.pipelines.segments import Extent, Location, coverage


class Impact(NamedTuple):
    """What changes in which regions."""

    #: Regions that receive the candidate, or more of it, immediately.
    gained: tuple[str, ...]
    #: Regions that return to what is live outside the release.
    lost: tuple[str, ...]
    #: Regions for which nothing changes.
    unchanged: tuple[str, ...]
    #: The state of the release afterwards, in a sentence.
    state_after: str


def impact_of(before: Feature, event: FeatureEvent, regions: Iterable[Region]) -> Impact:
    """Return what an event would change in each region, and for the release."""
    gained, lost, unchanged = [], [], []
    for region in sorted(regions, key=lambda region: region.name):
        had, has = _extent(before.trigger, region), _extent(event.feature.trigger, region)
        if had == has:
            unchanged.append(region.name)
        elif has == Extent.NONE:
            lost.append(region.name)
        else:
            gained.append(region.name)
    state_after = _state_after(event.feature.trigger, event.time_ms)
    return Impact(tuple(gained), tuple(lost), tuple(unchanged), state_after)


def _extent(trigger: Trigger | None, region: Region) -> Extent:
    """Return how much of a region holds the candidate."""
    if trigger is None:
        return Extent.NONE
    if trigger.status is TriggerStatus.COMPLETED:
        return Extent.FULLY
    if not trigger.status.is_active:
        return Extent.NONE
    return coverage(trigger.released, Location.of(region)).extent


def _state_after(trigger: Trigger | None, now_ms: int) -> str:
    if trigger is None:
        return "No release is active."
    phase = trigger.current_run.phase
    match trigger.status:
        case TriggerStatus.COMPLETED:
            return (
                "The release is completed: the candidate is live for everyone, and can no longer be aborted."
            )
        case TriggerStatus.ABORTED | TriggerStatus.ROLLED_BACK:
            return "The release has ended. To try again, save the change again."
        case TriggerStatus.PAUSED:
            left = format_duration(trigger.remaining_ms or 0)
            return f"Phase {phase.name} is paused with {left} of its bake left."
        case TriggerStatus.WAITING_FOR_REVIEW:
            needed = phase.approvals.count if phase.approvals else 1
            missing = needed - len(trigger.current_run.approvals)
            return f"Phase {phase.name} waits for {missing} approval{'' if missing == 1 else 's'}."
        case _ if trigger.held:
            return f"Phase {phase.name} is held: {'; '.join(trigger.held)}."
        case _:
            left = format_duration((trigger.due_ms or now_ms) - now_ms)
            return f"Phase {phase.name} bakes for {left}; then the release continues automatically."
