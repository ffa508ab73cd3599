"""State, command, now → event or refusal. Everything hard about a release is decided here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..contracts.catalogue import Environment, Region, SdkKey
from ..contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    ArchiveFeature,
    FeatureCommand,
    PauseTrigger,
    PhaseCommand,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SkipPhase,
    StartingCommand,
    TriggerCommand,
    UnpauseTrigger,
)
from ..contracts.durations import spoken
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import (
    RECENT_COMMANDS_MAX,
    ActionType,
    Feature,
    Spec,
    Trigger,
    TriggerStatus,
)
from ..contracts.freeze import Freeze
from ..contracts.identifiers import trigger_id
from ..contracts.pipeline import Pipeline, RollbackScope
from ..contracts.replies import Refusal, RefusalCode
from . import transitions
from .changes import is_same, needs_release, spec_of
from .freezes import Forbidding, forbidding
from .references import References, reference_fault, references_of, users_of
from .validation import feature_faults


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The documents that a decision may depend on."""

    environments: Mapping[str, Environment] = field(default_factory=dict)
    regions: Mapping[str, Region] = field(default_factory=dict)
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)
    keys: Mapping[str, SdkKey] = field(default_factory=dict)
    freezes: Mapping[str, Freeze] = field(default_factory=dict)
    #: All features that are not archived, and what they refer to.
    references: References = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing is to be done, and why."""

    message: str


Decision = FeatureEvent | Unchanged | Refusal

#: What the present status allows.
POSSIBLE: Mapping[TriggerStatus, tuple[str, ...]] = {
    TriggerStatus.IN_PROGRESS: ("pause", "skip", "abort", "roll_out"),
    TriggerStatus.PAUSED: ("unpause", "skip", "abort", "roll_out"),
    TriggerStatus.WAITING_FOR_REVIEW: ("approve", "skip", "abort", "roll_out"),
}


def decide(state: Feature | None, command: FeatureCommand, now_ms: int, catalogue: Catalogue) -> Decision:
    """Return what happens, or why it does not.

    `state` is None for a feature that was never saved. A command that this feature has answered
    already is not applied again.
    """
    if state and command.id in state.recent_commands:
        return Unchanged("this command was done before")
    decision = _decided(state, command, now_ms, catalogue)
    if isinstance(command, AbortTrigger | RollBackTrigger):
        return decision
    return _thawed(state, command, decision, now_ms, catalogue)


def _thawed(
    state: Feature | None, command: FeatureCommand, decision: Decision, now_ms: int, catalogue: Catalogue
) -> Decision:
    """Return a decision as it stands in face of the freezes: as it is, overriding, held or refused."""
    if isinstance(command, AdvancePhase) and command.holds:
        going = command.model_copy(update={"holds": ()})
        frozen = _frozen(state, _decided(state, going, now_ms, catalogue), now_ms, catalogue)
    else:
        frozen = _frozen(state, decision, now_ms, catalogue)
    if isinstance(command, StartingCommand) and command.override_freeze:
        return _overriding(command, decision, frozen)
    if not frozen:
        return decision
    if isinstance(command, AdvancePhase):
        held = command.model_copy(update={"holds": (*command.holds, *map(str, frozen))})
        return _decided(state, held, now_ms, catalogue)
    return _refused(
        RefusalCode.FROZEN,
        f"{command.verb} of {command.key} would release more inside {' and '.join(map(str, frozen))}; "
        "wait until that is over, or override it: --override-freeze --reason '…' (overrideFreeze in JSON)",
        ("override_freeze",),
    )


def _frozen(
    state: Feature | None, decision: Decision, now_ms: int, catalogue: Catalogue
) -> tuple[Forbidding, ...]:
    """Return the freezes that forbid what a decision does to a trigger."""
    if not isinstance(decision, FeatureEvent) or decision.feature.trigger is None:
        return ()
    before = state.trigger if state else None
    return forbidding(
        catalogue.freezes.values(), before, decision.feature.trigger, catalogue.regions.values(), now_ms
    )


def _overriding(command: StartingCommand, decision: Decision, frozen: tuple[Forbidding, ...]) -> Decision:
    """Return a decision with the freezes that it overrides in its records."""
    if not (command.reason or "").strip():
        return _refused(
            RefusalCode.INVALID,
            "overriding a freeze needs a reason, for the log: --reason '…' (reason in JSON)",
        )
    if not frozen or not isinstance(decision, FeatureEvent):
        return decision
    assert decision.feature.trigger
    names = tuple(freeze.name for freeze in frozen)
    trigger = transitions.overrode(decision.feature.trigger, names)
    return decision.model_copy(
        update={"overrode": names, "feature": decision.feature.changed(trigger=trigger)}
    )


def _decided(state: Feature | None, command: FeatureCommand, now_ms: int, catalogue: Catalogue) -> Decision:
    """Return what would happen, were there no freezes."""
    match command:
        case SaveFeature():
            return _save(state, command, now_ms, catalogue)
        case ArchiveFeature():
            return _archive(state, command, now_ms, catalogue)
        case TriggerCommand():
            return _act(state, command, now_ms)
        case _:
            raise TypeError(f"{type(command).__name__} is no command of a feature")


def _save(state: Feature | None, command: SaveFeature, now_ms: int, catalogue: Catalogue) -> Decision:
    document = command.feature
    if state and (active := state.active_trigger):
        return _refused(
            RefusalCode.TRIGGER_ACTIVE,
            f"{state.key} is being released by {active.id} ({active.status}, phase "
            f"{active.current_run.phase.id}); wait until it ends, or end it",
            ("abort", "roll_out"),
        )
    if faults := feature_faults(document, catalogue.environments):
        return _refused(RefusalCode.INVALID, "; ".join(faults))
    pipeline_id = document.release_pipeline_id
    pipeline = catalogue.pipelines.get(pipeline_id) if pipeline_id else None
    if pipeline_id and not pipeline:
        known = ", ".join(sorted(catalogue.pipelines)) or "none"
        return _refused(
            RefusalCode.UNKNOWN_PIPELINE,
            f"there is no pipeline {pipeline_id!r} (known: {known})",
            ("save_pipeline",),
        )
    feature = state or Feature(kind=document.key.kind, name=document.name, salt=document.name)
    before = None if feature.archived else feature.base
    after = spec_of(document, feature.versions + 1, None)
    if before and is_same(before, after):
        if feature.release_pipeline_id == pipeline_id:
            return Unchanged(f"{feature.key} is so already: no effective change")
        attached = feature.changed(release_pipeline_id=pipeline_id)
        return _event(EventType.FEATURE_CHANGED, attached, command, now_ms)
    own = references_of(before) + references_of(after, pipeline)
    if own and (fault := reference_fault(document.key.spec_name, own, catalogue.references)):
        return _refused(RefusalCode.UNSAFE_REFERENCE, f"{document.key}: {fault}", ("save_feature",))
    feature = feature.changed(
        release_pipeline_id=pipeline_id,
        base=before,
        previous=None,
        candidate=None,
        versions=after.version,
        archived=False,
    )
    if pipeline is None or not needs_release(before, after, catalogue.environments):
        return _event(EventType.FEATURE_CHANGED, feature.changed(base=after), command, now_ms)
    return _start(feature, after, pipeline, command, now_ms)


def _start(feature: Feature, after: Spec, pipeline: Pipeline, command: SaveFeature, now_ms: int) -> Decision:
    run = feature.runs + 1
    candidate = after.model_copy(update={"trigger": trigger_id(feature.key, run)})
    action = transitions.action_of(
        ActionType.STARTED,
        now_ms=now_ms,
        phase_id=pipeline.phases[0].id,
        actor=command.actor,
        reason=command.reason,
    )
    trigger = transitions.started(feature.key, run, pipeline, action)
    feature = feature.changed(candidate=candidate, runs=run, trigger=trigger)
    return _event(EventType.TRIGGER_STARTED, feature, command, now_ms, phase_id=pipeline.phases[0].id)


def _archive(state: Feature | None, command: ArchiveFeature, now_ms: int, catalogue: Catalogue) -> Decision:
    if state is None:
        return _refused(RefusalCode.UNKNOWN_FEATURE, f"there is no {command.key}", ("save_feature",))
    if active := state.active_trigger:
        return _refused(
            RefusalCode.TRIGGER_ACTIVE,
            f"{state.key} is being released by {active.id}; end that first",
            ("abort", "roll_out"),
        )
    if state.archived:
        return Unchanged(f"{state.key} is archived already")
    if users := _users(state.key.spec_name, catalogue):
        return _refused(
            RefusalCode.IN_USE, f"{state.key} is referred to by {', '.join(users)}; change that first"
        )
    return _event(EventType.FEATURE_ARCHIVED, state.changed(archived=True), command, now_ms)


def _users(spec_name: str, catalogue: Catalogue) -> list[str]:
    pipelines = {f"pipeline {id_}": references_of(None, p) for id_, p in catalogue.pipelines.items()}
    return users_of(spec_name, {**catalogue.references, **pipelines})


def _act(state: Feature | None, command: TriggerCommand, now_ms: int) -> Decision:
    if state is None or state.trigger is None:
        return _refused(RefusalCode.UNKNOWN_TRIGGER, f"there is no trigger {command.trigger}")
    trigger = state.trigger
    if trigger.id != command.trigger:
        return _not_the_newest(command.trigger, state.runs, trigger)
    if not trigger.status.is_active:
        if isinstance(command, RollBackTrigger) and state.watched_trigger(now_ms):
            return _restore(state, trigger, command, now_ms)
        return _refused(
            RefusalCode.TRIGGER_ENDED,
            f"{trigger.id} has ended ({trigger.status}); a new change starts a new trigger",
            ("save_feature",),
        )
    current = trigger.current_run.phase.id
    if isinstance(command, PhaseCommand) and command.phase_id != current:
        return _refused(
            RefusalCode.STALE_PHASE,
            f"{command.verb} was meant for phase {command.phase_id!r}, but {trigger.id} is at "
            f"{current!r} ({trigger.status}); look again before you act",
            POSSIBLE[trigger.status],
        )
    return _apply(state, trigger, command, now_ms)


def _apply(state: Feature, trigger: Trigger, command: TriggerCommand, now_ms: int) -> Decision:
    match command, trigger.status:
        case AdvancePhase(), TriggerStatus.IN_PROGRESS:
            return _advance(state, trigger, command, now_ms)
        case ApprovePhase(), TriggerStatus.WAITING_FOR_REVIEW:
            moved = transitions.baking(trigger, now_ms)
            return _moved(EventType.PHASE_APPROVED, ActionType.APPROVED_FOR, state, moved, command, now_ms)
        case (PauseTrigger(), TriggerStatus.IN_PROGRESS) | (
            PauseTrigger(guardrail={"name": _}),
            TriggerStatus.WAITING_FOR_REVIEW,
        ):
            moved = transitions.paused(trigger, now_ms)
            return _moved(EventType.TRIGGER_PAUSED, ActionType.PAUSED, state, moved, command, now_ms)
        case UnpauseTrigger(), TriggerStatus.PAUSED:
            moved = transitions.unpaused(trigger, now_ms)
            return _moved(EventType.TRIGGER_UNPAUSED, ActionType.UNPAUSED, state, moved, command, now_ms)
        case SkipPhase(), _:
            moved = transitions.left(trigger, now_ms)
            return _moved(EventType.PHASE_SKIPPED, ActionType.SKIPPED, state, moved, command, now_ms)
        case AbortTrigger(), _:
            moved = transitions.ended(trigger, TriggerStatus.ABORTED, now_ms)
            return _moved(EventType.TRIGGER_ABORTED, ActionType.ABORTED, state, moved, command, now_ms)
        case RollBackTrigger(), _ if (
            trigger.pipeline.rollback_scope is RollbackScope.PHASE and trigger.released
        ):
            moved = transitions.without_newest_phase(trigger)
            return _moved(
                EventType.PHASE_ROLLED_BACK, ActionType.PHASE_ROLLED_BACK, state, moved, command, now_ms
            )
        case RollBackTrigger(), _:
            moved = transitions.ended(trigger, TriggerStatus.ROLLED_BACK, now_ms)
            return _moved(
                EventType.TRIGGER_ROLLED_BACK, ActionType.ROLLED_BACK, state, moved, command, now_ms
            )
        case RollOutTrigger(), _:
            moved = transitions.ended(trigger, TriggerStatus.COMPLETED, now_ms)
            return _moved(
                EventType.TRIGGER_ROLLED_OUT, ActionType.FULL_ROLL_OUT, state, moved, command, now_ms
            )
        case _:
            return _not_possible(trigger, command)


def _advance(state: Feature, trigger: Trigger, command: AdvancePhase, now_ms: int) -> Decision:
    assert trigger.due_ms is not None
    if now_ms < trigger.due_ms:
        left = spoken(trigger.due_ms - now_ms)
        return _refused(RefusalCode.NOT_DUE, f"{command.phase_id} of {trigger.id} bakes for another {left}")
    if command.holds:
        if command.holds == trigger.held:
            return Unchanged(f"{trigger.id} is still held: {'; '.join(command.holds)}")
        held = trigger.model_copy(update={"held": command.holds})
        return _moved(EventType.PHASE_HELD, ActionType.HELD, state, held, command, now_ms)
    moved = transitions.left(trigger, now_ms)
    if moved.status is TriggerStatus.COMPLETED:
        return _moved(EventType.TRIGGER_COMPLETED, ActionType.COMPLETED, state, moved, command, now_ms)
    return _moved(EventType.PHASE_ADVANCED, ActionType.ADVANCED, state, moved, command, now_ms)


def _restore(state: Feature, trigger: Trigger, command: RollBackTrigger, now_ms: int) -> Decision:
    """Return the event that makes what was live before a completed release the base again."""
    version = state.versions + 1
    previous = state.previous and state.previous.model_copy(update={"version": version, "trigger": None})
    over = transitions.ended(trigger, TriggerStatus.ROLLED_BACK, now_ms)
    return _moved(
        EventType.TRIGGER_ROLLED_BACK,
        ActionType.ROLLED_BACK,
        state.changed(base=previous, previous=None, versions=version),
        over.model_copy(update={"observed_until_ms": None}),
        command,
        now_ms,
    )


def _moved(
    type_: EventType,
    action: ActionType,
    state: Feature,
    trigger: Trigger,
    command: TriggerCommand,
    now_ms: int,
) -> FeatureEvent:
    """Return the event of an action, the candidate kept, made the base, or taken back."""
    assert state.trigger
    phase_id = state.trigger.current_run.phase.id
    reason = "; ".join(trigger.held) if action is ActionType.HELD else command.reason
    record = transitions.action_of(
        action, now_ms=now_ms, phase_id=phase_id, actor=command.actor, reason=reason
    )
    feature = state.changed(trigger=transitions.acted(trigger, record))
    if trigger.status is TriggerStatus.COMPLETED:
        before = state.base if trigger.is_observed(now_ms) else None
        feature = feature.changed(base=state.candidate, previous=before, candidate=None)
    elif not trigger.status.is_active:
        feature = feature.changed(candidate=None)
    event = _event(type_, feature, command, now_ms, phase_id=phase_id, reason=reason)
    match command:
        case RollBackTrigger():
            return event.model_copy(update={"alert": command.alert, "guardrail": command.guardrail})
        case PauseTrigger():
            return event.model_copy(update={"guardrail": command.guardrail})
        case _:
            return event


def _event(
    type_: EventType,
    feature: Feature,
    command: FeatureCommand,
    now_ms: int,
    *,
    phase_id: str | None = None,
    reason: str | None = None,
) -> FeatureEvent:
    recent = (*feature.recent_commands, command.id)[-RECENT_COMMANDS_MAX:]
    return FeatureEvent(
        type=type_,
        time_ms=now_ms,
        actor_id=command.actor,
        reason=reason or command.reason,
        command_id=command.id,
        phase_id=phase_id,
        feature=feature.changed(recent_commands=recent),
    )


def _not_the_newest(asked: str, runs: int, newest: Trigger) -> Refusal:
    if int(asked.rsplit(".", 1)[1]) > runs:
        return _refused(
            RefusalCode.UNKNOWN_TRIGGER, f"there is no trigger {asked}; the newest is {newest.id}"
        )
    return _refused(
        RefusalCode.TRIGGER_ENDED, f"{asked} has ended; the newest is {newest.id} ({newest.status})"
    )


def _not_possible(trigger: Trigger, command: TriggerCommand) -> Refusal:
    phase = trigger.current_run.phase.id
    possible = POSSIBLE[trigger.status]
    return _refused(
        RefusalCode.NOT_POSSIBLE,
        f"{command.verb} is not possible: {trigger.id} is {trigger.status} at phase {phase!r}; "
        f"possible are {', '.join(possible)}",
        possible,
    )


def _refused(code: RefusalCode, message: str, possible: tuple[str, ...] = ()) -> Refusal:
    return Refusal(code=code, message=message, possible=possible)
