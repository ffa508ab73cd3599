"""A trigger as a track of phases: what each one does now, in a word and a colour."""

from typing import NamedTuple

from sluiceway.contracts.feature import PhaseRun, Trigger, TriggerStatus
from sluiceway.trigger_view import phase_status

#: Status → class of the style sheet.
LOOKS = {
    TriggerStatus.IN_PROGRESS: "busy",
    TriggerStatus.PAUSED: "wait",
    TriggerStatus.WAITING_FOR_REVIEW: "wait",
    TriggerStatus.COMPLETED: "good",
    TriggerStatus.ABORTED: "bad",
    TriggerStatus.ROLLED_BACK: "bad",
}
WORDS = {
    TriggerStatus.IN_PROGRESS: "in progress",
    TriggerStatus.PAUSED: "paused",
    TriggerStatus.WAITING_FOR_REVIEW: "waits for review",
    TriggerStatus.COMPLETED: "completed",
    TriggerStatus.ABORTED: "aborted",
    TriggerStatus.ROLLED_BACK: "rolled back",
}


class PhaseProgress(NamedTuple):
    """One phase on a track."""

    id: str
    name: str
    look: str
    said: str
    #: Why a phase whose bake is over may not be left.
    held: tuple[str, ...]
    #: When the bake ends; None where none runs.
    until_ms: int | None
    bake_ms: int


class ReleaseProgress(NamedTuple):
    """A trigger, phase by phase."""

    trigger: Trigger
    look: str
    status: str
    steps: tuple[PhaseProgress, ...]


def release_progress(trigger: Trigger) -> ReleaseProgress:
    status = "held" if trigger.held else WORDS[trigger.status]
    look = "wait" if trigger.held else LOOKS[trigger.status]
    return ReleaseProgress(trigger, look, status, tuple(_step(trigger, run) for run in trigger.phases))


def _step(trigger: Trigger, run: PhaseRun) -> PhaseProgress:
    is_current = run is trigger.current_run and trigger.status.is_active
    return PhaseProgress(
        id=run.phase.id,
        name=run.phase.name,
        look=_look(trigger, run, is_current=is_current),
        said=_said(trigger, run),
        held=trigger.held if is_current else (),
        until_ms=trigger.due_ms if is_current and not trigger.held else None,
        bake_ms=run.phase.time_interval_ms,
    )


def _look(trigger: Trigger, run: PhaseRun, *, is_current: bool) -> str:
    if is_current:
        return "wait" if trigger.held else LOOKS[trigger.status]
    if run.skipped or run.started_ms is None:
        return "off"
    return "bad" if _is_back(trigger) else "good"


def _said(trigger: Trigger, run: PhaseRun) -> str:
    if run.started_ms is not None and _is_back(trigger):
        return "taken back"
    return phase_status(trigger, run)


def _is_back(trigger: Trigger) -> bool:
    return trigger.status in (TriggerStatus.ABORTED, TriggerStatus.ROLLED_BACK)
