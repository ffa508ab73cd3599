"""What a run left behind: each release step by step, and when each region had applied it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus


@dataclass(frozen=True)
class RecordedStep:
    """One event of a release, and how the release stands after it."""

    type: EventType
    time_ms: int
    status: TriggerStatus
    #: The phase that bakes or waits from here on; the last one reached, once the release has ended.
    phase: str
    actor: str
    reason: str | None = None
    #: Region → milliseconds from this event to its application.
    applied: Mapping[str, float] = field(default_factory=dict)

    def applied_ms(self, region: str) -> float:
        """Return when the region had applied this step; its time, where the region did not need to."""
        return self.time_ms + self.applied.get(region, 0.0)


@dataclass(frozen=True)
class Alarm:
    """The alert that a release was taken back for."""

    name: str
    time_ms: int


@dataclass(frozen=True)
class PhaseSpan:
    """A stretch of time in which a phase bakes, waits or is paused."""

    phase: str
    status: TriggerStatus
    begins_ms: float
    ends_ms: float


@dataclass(frozen=True)
class RecordedRelease:
    """One trigger from its start on; `steps` is not empty."""

    trigger: str
    steps: tuple[RecordedStep, ...]
    alarm: Alarm | None = None

    @property
    def begins_ms(self) -> int:
        return self.steps[0].time_ms

    @property
    def last(self) -> RecordedStep:
        return self.steps[-1]

    @property
    def ends_ms(self) -> float:
        """When the last step had been applied everywhere."""
        return max(self.last.applied_ms(region) for region in ("", *self.last.applied))

    @property
    def duration_ms(self) -> float:
        """From the start to the end, at least 1."""
        return max(self.ends_ms - self.begins_ms, 1.0)

    @property
    def spans(self) -> tuple[PhaseSpan, ...]:
        """How the release stood from step to step; steps that change nothing prolong a span."""
        found: list[PhaseSpan] = []
        for step, following in zip(self.steps, self.steps[1:], strict=False):
            begins: float = step.time_ms
            if found and (found[-1].phase, found[-1].status) == (step.phase, step.status):
                begins = found.pop().begins_ms
            found.append(PhaseSpan(step.phase, step.status, begins, following.time_ms))
        return tuple(found)

    @property
    def rollback_ms(self) -> float | None:
        """From the alert until the last region served the base again."""
        return self.ends_ms - self.alarm.time_ms if self.alarm else None

    def start_of(self, phase: str) -> RecordedStep:
        """Return the step that released a phase."""
        return next(s for s in self.steps if s.phase == phase and s.status is TriggerStatus.IN_PROGRESS)

    @property
    def started(self) -> tuple[str, ...]:
        """The phases that were released, in their order."""
        running = (step.phase for step in self.steps if step.status is TriggerStatus.IN_PROGRESS)
        return tuple(dict.fromkeys(running))

    def held(self, region: str) -> tuple[float, float] | None:
        """Return from when until when the region served the candidate; None where it never did.

        A completion makes the candidate the base, so nothing changes there at that moment; any other
        end counts once the region has applied it.
        """
        taken = [step for step in self.steps if step.status.is_active and region in step.applied]
        if not taken:
            return None
        completed = self.last.status is TriggerStatus.COMPLETED
        ends = self.last.time_ms if completed else self.last.applied_ms(region)
        return taken[0].applied_ms(region), ends


@dataclass(frozen=True)
class RecordedRun:
    """Some releases, one after the other, and the regions that there were."""

    regions: tuple[str, ...]
    releases: tuple[RecordedRelease, ...]
