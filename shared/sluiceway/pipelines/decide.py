"""State, command, now → event or refusal. Everything hard about a release is decided here.

`permissions` say who may ask; `saving` and `releasing` what would happen; freezes have the last word, in
one place for all commands.
"""

from ..contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ArchiveFeature,
    FeatureCommand,
    RollBackTrigger,
    SaveFeature,
    StartingCommand,
    TriggerCommand,
)
from ..contracts.events import FeatureEvent
from ..contracts.feature import Feature
from ..contracts.replies import RefusalCode
from . import transitions
from .decision import Catalogue, Decision, Unchanged, refusal
from .feature_decisions import decide_archive, decide_save
from .freezes import ActiveFreeze, active_freezes
from .permissions import missing_permission
from .trigger_decisions import decide_trigger


def decide(state: Feature | None, command: FeatureCommand, now_ms: int, catalogue: Catalogue) -> Decision:
    """Return what happens, or why it does not.

    `state` is None for a feature that was never saved. A command that this feature has answered
    already is not applied again.
    """
    if state and command.id in state.recent_commands:
        return Unchanged("this command was done before")
    if refusal := missing_permission(command, state, catalogue):
        return refusal
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
    return refusal(
        RefusalCode.FROZEN,
        f"{command.verb} of {command.key} would release more inside {' and '.join(map(str, frozen))}; "
        "wait until that is over, or override it: --override-freeze --reason '…' (overrideFreeze in JSON)",
        ("override_freeze",),
    )


def _frozen(
    state: Feature | None, decision: Decision, now_ms: int, catalogue: Catalogue
) -> tuple[ActiveFreeze, ...]:
    """Return the freezes that forbid what a decision does to a trigger."""
    if not isinstance(decision, FeatureEvent) or decision.feature.trigger is None:
        return ()
    before = state.trigger if state else None
    return active_freezes(
        catalogue.freezes.values(), before, decision.feature.trigger, catalogue.regions.values(), now_ms
    )


def _overriding(command: StartingCommand, decision: Decision, frozen: tuple[ActiveFreeze, ...]) -> Decision:
    """Return a decision with the freezes that it overrides in its records."""
    if not (command.reason or "").strip():
        return refusal(
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
            return decide_save(state, command, now_ms, catalogue)
        case ArchiveFeature():
            return decide_archive(state, command, now_ms, catalogue)
        case TriggerCommand():
            return decide_trigger(state, command, now_ms)
        case _:
            raise TypeError(f"{type(command).__name__} is no command of a feature")
