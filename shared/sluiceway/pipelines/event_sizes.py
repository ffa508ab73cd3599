"""An event that fits into a message: what may be left out of it, and what happens if that is not enough.

What takes something back is stored, whatever its size: the evidence for it is left out first. The log of
the events before holds what is left out.
"""

from collections.abc import Callable
from typing import NamedTuple

from ..contracts.commands import AdvancePhase, FeatureCommand, RollBackTrigger
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import Action, Feature, PhaseRun, Spec, Trigger
from ..contracts.short_texts import start_of
from . import refusals
from .decision import Decision
from .message_limits import EARLIER_RELEASE
from .rollbacks import TAKEN_BACK
from .trigger_decisions import hold, roll_back_everywhere

#: Bytes that are left of a reason.
SHORT_REASON_BYTES = 200


class Omission(NamedTuple):
    """A part of an event that it can do without, by the name that `leftOut` of the event lists."""

    name: str
    #: Returns the event without it; the same one if there is nothing to leave out.
    apply: Callable[[FeatureEvent], FeatureEvent]


def fitted(event: FeatureEvent, bytes_max: int) -> FeatureEvent | None:
    """Return an event of at most `bytes_max` bytes as JSON, with little left out; None if it has more."""
    for omission in OMISSIONS:
        if len(event.to_json()) <= bytes_max:
            return event
        smaller = omission.apply(event)
        if smaller != event:
            names = dict.fromkeys((*smaller.left_out, omission.name))
            event = smaller.model_copy(update={"left_out": tuple(names)})
    return event if len(event.to_json()) <= bytes_max else None


def decide_within(
    event: FeatureEvent, state: Feature | None, command: FeatureCommand, now_ms: int, bytes_max: int
) -> Decision:
    """Return what happens if the event of a command may have at most `bytes_max` bytes as JSON.

    A phase that cannot be left is held. A phase that cannot be taken back alone is taken back with the whole
    candidate, which makes the state smaller.
    """
    if smaller := fitted(event, bytes_max):
        return smaller
    refusal = refusals.result_too_large(len(event.to_json()), bytes_max)
    match command:
        case AdvancePhase() if state:
            held = hold(state, command, (refusals.step_too_large(event.type),), now_ms)
            return (fitted(held, bytes_max) or refusal) if isinstance(held, FeatureEvent) else held
        case RollBackTrigger() if state and event.type is EventType.PHASE_ROLLED_BACK:
            return fitted(roll_back_everywhere(state, command, now_ms), bytes_max) or refusal
        case _:
            return refusal


def _without_evidence(event: FeatureEvent) -> FeatureEvent:
    return event.model_copy(update={"alert": {}, "guardrail": {}})


def _without_older_actions(event: FeatureEvent) -> FeatureEvent:
    """Keep the newest action of each type: some say since when measurements count."""

    def change(trigger: Trigger) -> Trigger:
        newest = {action.type: action for action in trigger.actions}
        kept = sorted(newest.values(), key=lambda action: trigger.actions.index(action))
        return trigger.model_copy(update={"actions": tuple(kept)})

    return _with_trigger(event, change)


def _with_short_reasons(event: FeatureEvent) -> FeatureEvent:
    def change(trigger: Trigger) -> Trigger:
        actions = tuple(
            action.model_copy(update={"reason": _short(action.reason)}) for action in trigger.actions
        )
        return trigger.model_copy(update={"actions": actions})

    return _with_trigger(event, change).model_copy(update={"reason": _short(event.reason)})


def _without_reason(event: FeatureEvent) -> FeatureEvent:
    return event.model_copy(update={"reason": None})


def _without_other_actions(event: FeatureEvent) -> FeatureEvent:
    """Keep only the newest action, without a reason: the event has it."""

    def change(trigger: Trigger) -> Trigger:
        last: Action = trigger.actions[-1].model_copy(update={"reason": None})
        return trigger.model_copy(update={"actions": (last,)})

    return _with_trigger(event, change)


def _without_earlier_approvals(event: FeatureEvent) -> FeatureEvent:
    """Drop the approvals of phases that have started: they have done their work."""

    def change(trigger: Trigger) -> Trigger:
        def without(run: PhaseRun) -> PhaseRun:
            return run.model_copy(update={"approvals": ()}) if run.started_ms is not None else run

        return trigger.model_copy(update={"phases": tuple(map(without, trigger.phases))})

    return _with_trigger(event, change)


def _without_earlier_commands(event: FeatureEvent) -> FeatureEvent:
    return _with_feature(event, recent_commands=event.feature.recent_commands[-1:])


def _without_earlier_release(event: FeatureEvent) -> FeatureEvent:
    """Drop a release that has ended and cannot be rolled back any more, from a change after it."""
    feature = event.feature
    is_later = event.type in (EventType.FEATURE_CHANGED, EventType.FEATURE_ARCHIVED)
    is_over = feature.active_trigger is None and feature.watched_trigger(event.time_ms) is None
    return _with_feature(event, trigger=None) if is_later and is_over else event


def _without_previous_version(event: FeatureEvent) -> FeatureEvent:
    """Drop the version that a rollback would restore, of a feature that is archived."""
    return _with_feature(event, previous=None) if event.feature.archived else event


def _without_plan(event: FeatureEvent) -> FeatureEvent:
    """Drop the guardrails of a release that was taken back, and one of the two copies of its phases."""

    def change(trigger: Trigger) -> Trigger:
        if trigger.status not in TAKEN_BACK:
            return trigger
        runs = tuple(
            run.model_copy(update={"phase": run.phase.model_copy(update={"guardrails": ()})})
            for run in trigger.phases
        )
        pipeline = trigger.pipeline.model_copy(
            update={"phases": (runs[0].phase,), "trigger_notice": None}  # a pipeline has at least one phase
        )
        return trigger.model_copy(update={"phases": runs, "pipeline": pipeline})

    return _with_trigger(event, change)


def _without_descriptions(event: FeatureEvent) -> FeatureEvent:
    def without(spec: Spec | None) -> Spec | None:
        return spec and spec.model_copy(update={"description": ""})

    feature = event.feature
    smaller = _with_trigger(event, lambda trigger: trigger.model_copy(update={"description": None}))
    return _with_feature(smaller, base=without(feature.base), candidate=without(feature.candidate))


#: What is left out, in this order, until an event fits.
OMISSIONS = (
    Omission("evidence", _without_evidence),
    Omission("older actions", _without_older_actions),
    Omission("approvals of earlier phases", _without_earlier_approvals),
    Omission("ends of reasons", _with_short_reasons),
    Omission(EARLIER_RELEASE, _without_earlier_release),
    Omission("previous version", _without_previous_version),
    Omission("other actions", _without_other_actions),
    Omission("earlier command ids", _without_earlier_commands),
    Omission("plan of the release", _without_plan),
    Omission("descriptions", _without_descriptions),
    Omission("reason", _without_reason),
)


def _with_feature(event: FeatureEvent, **fields: object) -> FeatureEvent:
    return event.model_copy(update={"feature": event.feature.changed(**fields)})


def _with_trigger(event: FeatureEvent, change: Callable[[Trigger], Trigger]) -> FeatureEvent:
    trigger = event.feature.trigger
    return _with_feature(event, trigger=change(trigger)) if trigger else event


def _short(reason: str | None) -> str | None:
    return start_of(reason, SHORT_REASON_BYTES) if reason else reason
