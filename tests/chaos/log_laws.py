"""What the log must be like."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import PhaseRun, TriggerStatus

from .history import History, StoredEvent

#: By how much the time of an event may differ from the broker's: what measuring it may be wrong by.
CLOCK_ERROR_MS = 1_500


def order(history: History) -> Iterator[str]:
    """Look at each feature's events: who, when, one release at a time, and no phase too early."""
    times = Counter(entry.event.command_id for entry in history.events)
    for command_id, count in times.items():
        if count > 1:
            yield f"command {command_id} led to {count} events"
    for feature, entries in history.by_feature().items():
        for before, after in pairwise([None, *entries]):
            assert after
            for problem in _problems_of_event(before, after):
                yield f"{feature}, event {after.sequence} ({after.event.type}): {problem}"
        for problem in _problems_of_phases([entry.event for entry in entries]):
            yield f"{feature}: {problem}"


def _problems_of_event(before: StoredEvent | None, after: StoredEvent) -> Iterator[str]:
    event = after.event
    if not (event.actor_id and event.time_ms and event.command_id):
        yield "it has no actor, time or command"
    if before and event.time_ms < before.event.time_ms:
        yield f"its time is {before.event.time_ms - event.time_ms} ms before that of the event before it"
    if event.time_ms > after.stored_ms + CLOCK_ERROR_MS:
        yield f"its time is {event.time_ms - after.stored_ms} ms after it was stored"
    if event.type is EventType.TRIGGER_STARTED and before and before.event.feature.active_trigger:
        yield f"it started a release while {before.event.feature.active_trigger.id} was active"


def _problems_of_phases(events: list[FeatureEvent]) -> Iterator[str]:
    """Look at the last state of each release; a skip excuses the phase that it ended."""
    skipped = {(event.feature.trigger.id, event.phase_id) for event in events if _is_skip(event)}  # type: ignore[union-attr]
    last = {event.feature.trigger.id: event.feature.trigger for event in events if event.feature.trigger}
    for trigger in last.values():
        runs = [run for run in trigger.phases if run.started_ms is not None]
        for run in runs:
            needed = run.phase.approvals.count if run.phase.approvals else 1
            if run.phase.required_review and len(run.approvals) < needed:
                yield f"{trigger.id} started {run.phase.id} with {len(run.approvals)} approvals of {needed}"
        for earlier, later in pairwise(runs):
            if (trigger.id, earlier.phase.id) not in skipped and (missing := _missing_ms(earlier, later)) > 0:
                yield f"{trigger.id} started {later.phase.id} {missing} ms before the bake before it was over"


def _is_skip(event: FeatureEvent) -> bool:
    return event.type is EventType.PHASE_SKIPPED and event.feature.trigger is not None


def _missing_ms(earlier: PhaseRun, later: PhaseRun) -> int:
    assert earlier.started_ms is not None
    assert later.started_ms is not None
    return earlier.started_ms + earlier.phase.time_interval_ms - later.started_ms


def append_only(history: History) -> Iterator[str]:
    """Compare what was read of the log during the run with what it says in the end."""
    stored = {entry.sequence: entry.event for entry in history.events}
    for seen in history.seen:
        event = stored.get(seen.sequence)
        if event is None or (event.command_id, event.time_ms) != (seen.command_id, seen.time_ms):
            what = "gone" if event is None else f"of command {event.command_id}"
            yield f"event {seen.sequence} was of command {seen.command_id}, and is {what}"


def times(history: History) -> Iterator[str]:
    """Compare the times of events with those at which their commands were sent."""
    stored = {entry.event.command_id: entry for entry in history.events}
    for sent in history.commands:
        entry = stored.get(sent.id)
        if entry and entry.event.time_ms < sent.sent_ms - CLOCK_ERROR_MS:
            early = sent.sent_ms - entry.event.time_ms
            yield f"event {entry.sequence} of {sent.feature} is {early} ms older than its command"


def releases(history: History) -> Iterator[str]:
    """Look whether releases got on and ended, and whether each alert took its release back."""
    for stuck in history.stuck:
        yield f"{stuck.trigger} did not get on: {stuck.state}"
    statuses: dict[str, TriggerStatus] = {}
    for entry in history.events:
        if trigger := entry.event.feature.trigger:
            statuses[trigger.id] = trigger.status
    for trigger_id, status in statuses.items():
        if status.is_active:
            yield f"{trigger_id} is still {status}"
    for alert in history.alerts:
        if statuses.get(alert.trigger) is not TriggerStatus.ROLLED_BACK:
            yield f"{alert.trigger} is {statuses.get(alert.trigger)} although an alert about it was stored"
