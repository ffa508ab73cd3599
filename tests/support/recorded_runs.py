"""Recorded runs of the demo: one release that completes, one that an alert rolls back."""

from services.local.demo_record import RecordedAlert, RecordedEvent, RecordedRelease, RecordedRun
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus

START = 1_700_000_000_000
REGIONS = ("dev", "eu", "us")
PHASES = ("development", "america", "europe")
IN_PROGRESS, WAITING = TriggerStatus.IN_PROGRESS, TriggerStatus.WAITING_FOR_REVIEW


def an_event(
    type_: EventType, seconds: float, status: TriggerStatus, phase: str, **applied: float
) -> RecordedEvent:
    return RecordedEvent(type_, START + round(seconds * 1000), status, phase, "ada", "looks good", applied)


BEGINNING = (
    an_event(EventType.TRIGGER_STARTED, 0, IN_PROGRESS, "development", dev=5),
    an_event(EventType.PHASE_ADVANCED, 2, WAITING, "america"),
    an_event(EventType.PHASE_APPROVED, 4, IN_PROGRESS, "america", us=7),
)


def a_completed_release(trigger: str = "gate.new_checkout.1") -> RecordedRelease:
    end = (
        an_event(EventType.PHASE_ADVANCED, 6, IN_PROGRESS, "europe", eu=40),
        an_event(EventType.TRIGGER_COMPLETED, 8, TriggerStatus.COMPLETED, "europe"),
    )
    return RecordedRelease(trigger, BEGINNING + end)


def a_rolled_back_release() -> RecordedRelease:
    end = an_event(EventType.TRIGGER_ROLLED_BACK, 5.01, TriggerStatus.ROLLED_BACK, "america", dev=8, us=12)
    alert = RecordedAlert("ErrorsHigh", START + 5_000)
    return RecordedRelease("dynamic_config.limits.1", (*BEGINNING, end), alert)


def a_run(*releases: RecordedRelease) -> RecordedRun:
    return RecordedRun(REGIONS, releases or (a_completed_release(), a_rolled_back_release()))
