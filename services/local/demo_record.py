"""What a run of the demo recorded: the events of each release, and when each region applied them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus


class Span(NamedTuple):
    """A stretch of time."""

    begin_ms: float
    end_ms: float


class PhaseSpan(NamedTuple):
    """A stretch of time in which a phase bakes, waits for review or is paused."""

    phase: str
    status: TriggerStatus
    begin_ms: float
    end_ms: float

    @property
    def is_baking(self) -> bool:
        return self.status is TriggerStatus.IN_PROGRESS


@dataclass(frozen=True)
class RecordedEvent:
    """One event of a release, and the state of the release after it."""

    type: EventType
    time_ms: int
    status: TriggerStatus
    #: The phase that bakes or waits from this event on; the last one reached, if the release has ended.
    phase: str
    actor: str
    reason: str | None = None
    #: Region → milliseconds from this event until the region had applied it.
    applied: Mapping[str, float] = field(default_factory=dict)

    def applied_at_ms(self, region: str) -> float:
        """Return when the region had applied this event; the time of the event if there was no need to."""
        return self.time_ms + self.applied.get(region, 0.0)


@dataclass(frozen=True)
class RecordedAlert:
    """The alert that rolled a release back."""

    name: str
    time_ms: int


@dataclass(frozen=True)
class RecordedRelease:
    """One trigger from its start on; `events` is not empty."""

    trigger: str
    events: tuple[RecordedEvent, ...]
    alert: RecordedAlert | None = None

    @property
    def begin_ms(self) -> int:
        return self.events[0].time_ms

    @property
    def last(self) -> RecordedEvent:
        return self.events[-1]

    @property
    def outcome(self) -> str:
        """The status after the last event, for example `rolled back`."""
        return self.last.status.lower().replace("_", " ")

    @property
    def end_ms(self) -> float:
        """When every region had applied the last event."""
        return max(self.last.applied_at_ms(region) for region in ("", *self.last.applied))

    @property
    def duration_ms(self) -> float:
        """From the start to the end, at least 1."""
        return max(self.end_ms - self.begin_ms, 1.0)

    @property
    def phase_spans(self) -> tuple[PhaseSpan, ...]:
        """The phases and their statuses over time; an event that changes neither extends its span."""
        spans: list[PhaseSpan] = []
        for event, following in zip(self.events, self.events[1:], strict=False):
            begin_ms: float = event.time_ms
            if spans and (spans[-1].phase, spans[-1].status) == (event.phase, event.status):
                begin_ms = spans.pop().begin_ms
            spans.append(PhaseSpan(event.phase, event.status, begin_ms, following.time_ms))
        return tuple(spans)

    @property
    def rollback_ms(self) -> float | None:
        """From the alert until the last region served the base again; None without an alert."""
        return self.end_ms - self.alert.time_ms if self.alert else None

    def start_of(self, phase: str) -> RecordedEvent:
        """Return the event that released a phase."""
        return next(e for e in self.events if e.phase == phase and e.status is TriggerStatus.IN_PROGRESS)

    @property
    def started_phases(self) -> tuple[str, ...]:
        """The phases that were released, in their order."""
        running = (event.phase for event in self.events if event.status is TriggerStatus.IN_PROGRESS)
        return tuple(dict.fromkeys(running))

    def candidate_span(self, region: str) -> Span | None:
        """Return from when until when the region served the candidate; None if it never did.

        A completion makes the candidate the base, so the region has nothing to apply at that moment. Any
        other end takes effect once the region has applied it.
        """
        first = next((e for e in self.events if e.status.is_active and region in e.applied), None)
        if first is None:
            return None
        completed = self.last.status is TriggerStatus.COMPLETED
        end_ms = self.last.time_ms if completed else self.last.applied_at_ms(region)
        return Span(first.applied_at_ms(region), end_ms)


@dataclass(frozen=True)
class RecordedRun:
    """Some releases, one after the other, and all regions."""

    regions: tuple[str, ...]
    releases: tuple[RecordedRelease, ...]

    @property
    def regions_as_reached(self) -> tuple[str, ...]:
        """The regions in the order in which the releases reached them, then those that none reached."""
        reached = (
            region for release in self.releases for event in release.events for region in event.applied
        )
        return tuple(dict.fromkeys((*reached, *self.regions)))
