"""The progress of a release: the status of each phase, as text and as a CSS class."""

from typing import NamedTuple

from sluiceway.contracts.feature import PhaseRun, Trigger, TriggerStatus
from sluiceway.trigger_view import phase_status

#: Status → CSS class.
CSS_CLASSES = {
    TriggerStatus.IN_PROGRESS: "busy",
    TriggerStatus.PAUSED: "wait",
    TriggerStatus.WAITING_FOR_REVIEW: "wait",
    TriggerStatus.COMPLETED: "good",
    TriggerStatus.ABORTED: "bad",
    TriggerStatus.ROLLED_BACK: "bad",
}
TEXTS = {
    TriggerStatus.IN_PROGRESS: "in progress",
    TriggerStatus.PAUSED: "paused",
    TriggerStatus.WAITING_FOR_REVIEW: "waits for review",
    TriggerStatus.COMPLETED: "completed",
    TriggerStatus.ABORTED: "aborted",
    TriggerStatus.ROLLED_BACK: "rolled back",
}


class PhaseProgress(NamedTuple):
    """The progress of one phase."""

    id: str
    name: str
    css_class: str
    status: str
    #: Why a phase whose bake is over may not end yet.
    held: tuple[str, ...]
    #: When the bake ends; None if nothing bakes.
    until_ms: int | None
    bake_ms: int


class ReleaseProgress(NamedTuple):
    """The progress of a trigger, phase by phase."""

    trigger: Trigger
    css_class: str
    status: str
    phases: tuple[PhaseProgress, ...]


def release_progress(trigger: Trigger) -> ReleaseProgress:
    """Return the progress of a trigger."""
    status = "held" if trigger.held else TEXTS[trigger.status]
    css_class = "wait" if trigger.held else CSS_CLASSES[trigger.status]
    return ReleaseProgress(
        trigger, css_class, status, tuple(_phase_progress(trigger, run) for run in trigger.phases)
    )


def _phase_progress(trigger: Trigger, run: PhaseRun) -> PhaseProgress:
    is_current = run is trigger.current_run and trigger.status.is_active
    return PhaseProgress(
        id=run.phase.id,
        name=run.phase.name,
        css_class=_css_class(trigger, run, is_current=is_current),
        status=_status(trigger, run),
        held=trigger.held if is_current else (),
        until_ms=trigger.due_ms if is_current and not trigger.held else None,
        bake_ms=run.phase.time_interval_ms,
    )


def _css_class(trigger: Trigger, run: PhaseRun, *, is_current: bool) -> str:
    if is_current:
        return "wait" if trigger.held else CSS_CLASSES[trigger.status]
    if run.skipped or run.started_ms is None:
        return "off"
    return "bad" if _is_withdrawn(trigger) else "good"


def _status(trigger: Trigger, run: PhaseRun) -> str:
    if run.started_ms is not None and _is_withdrawn(trigger):
        return "taken back"
    return phase_status(trigger, run)


def _is_withdrawn(trigger: Trigger) -> bool:
    return trigger.status in (TriggerStatus.ABORTED, TriggerStatus.ROLLED_BACK)
