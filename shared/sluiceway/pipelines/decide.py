"""State, command, now → event or refusal. Everything hard about a release is decided here.

The steps, each once: authorise → validate → decide → freeze. A document is looked into only if its sender may
save it. What was made from an old reading is refused once the sender is known to have the role at all.
"""

from ..contracts.commands import (
    AdvancePhase,
    ArchiveFeature,
    FeatureCommand,
    SaveFeature,
    StartingCommand,
    TriggerCommand,
)
from ..contracts.events import FeatureEvent
from ..contracts.feature import Feature
from ..contracts.replies import Refusal
from ..contracts.revisions import RevisionTag
from . import refusals, transitions
from .approvals import lapsed_approver, without_lapsed_approvals
from .decision import Catalogue, Decision, Unchanged
from .feature_decisions import decide_archive, decide_save
from .freezes import ActiveFreeze, active_freezes
from .message_limits import bounded_names
from .permissions import denied_everywhere, missing_permission
from .spec_changes import is_switch_off
from .trigger_decisions import decide_trigger, hold
from .validation import feature_errors


def decide(
    state: Feature | None,
    command: FeatureCommand,
    now_ms: int,
    catalogue: Catalogue,
    revision: RevisionTag | None = None,
) -> Decision:
    """Return what happens, or why it does not.

    `state` is None for a feature that was never saved. A command that this feature has answered
    already is not applied again. `revision` is that of `state`; None: the command's is not compared.
    """
    if state and _was_applied(command, state):
        return already_applied(state)
    stale = _stale(command, revision)
    refusal = (
        denied_everywhere(command, state)
        # An old document may seem to do what its sender may not.
        or (stale if isinstance(command, SaveFeature) else None)
        or missing_permission(command, state, catalogue)
        or stale
        or _invalid_document(state, command, catalogue)
        or lapsed_approver(command, catalogue.api_keys.get, now_ms)
    )
    if refusal:
        return refusal
    decision = _decide_unfrozen(state, command, now_ms, catalogue)
    return _apply_freezes(state, command, decision, now_ms, catalogue)


def already_applied(state: Feature) -> Unchanged:
    """Return the decision about a command that is sent again, after it has led to an event."""
    return Unchanged(f"this command was already applied{_status(state)}")


def _was_applied(command: FeatureCommand, state: Feature) -> bool:
    """Return whether a command is sent again. Time sends none again: each names the event it was due for."""
    return not isinstance(command, AdvancePhase) and command.idempotency_key.is_among(state.recent_commands)


def _status(state: Feature) -> str:
    """Return the state of the newest trigger as the end of a sentence: others may have changed it since."""
    return f"; {state.trigger.id} is {state.trigger.status} now" if state.trigger else ""


def _stale(command: FeatureCommand, revision: RevisionTag | None) -> Refusal | None:
    expected = command.expected_revision
    if expected is None or revision is None or revision == expected:
        return None
    return refusals.stale(command.key, expected, revision)


def _invalid_document(state: Feature | None, command: FeatureCommand, catalogue: Catalogue) -> Refusal | None:
    """Refuse an invalid document, unless it only switches off rules that were valid when they were saved."""
    if not isinstance(command, SaveFeature) or is_switch_off(state, command.feature):
        return None
    errors = feature_errors(command.feature, catalogue.environments)
    return refusals.invalid(errors) if errors else None


def _decide_unfrozen(
    state: Feature | None, command: FeatureCommand, now_ms: int, catalogue: Catalogue
) -> Decision:
    """Return what would happen if there were no freezes, and nothing that holds a phase."""
    match command:
        case SaveFeature():
            return decide_save(state, command, now_ms, catalogue)
        case ArchiveFeature():
            return decide_archive(state, command, now_ms, catalogue)
        case TriggerCommand():
            counted = without_lapsed_approvals(state, catalogue.api_keys.get, now_ms) if state else None
            return decide_trigger(counted, command, now_ms)
        case _:
            raise TypeError(f"{type(command).__name__} does not change a feature")


def _apply_freezes(
    state: Feature | None, command: FeatureCommand, decision: Decision, now_ms: int, catalogue: Catalogue
) -> Decision:
    """Return a decision as the freezes leave it: as it is, overriding them, held or refused."""
    overrides = isinstance(command, StartingCommand) and command.override_freeze
    if overrides and not (command.reason or "").strip():
        return refusals.override_without_reason()
    if not isinstance(decision, FeatureEvent):
        return decision
    freezes = _freezes_against(state, decision, now_ms, catalogue)
    if isinstance(command, AdvancePhase):
        assert state
        holds = (*command.holds, *map(str, freezes))
        return hold(state, command, holds, now_ms) if holds else decision
    if not freezes:
        return decision
    return _overriding(decision, freezes) if overrides else refusals.frozen(command, freezes)


def _freezes_against(
    state: Feature | None, event: FeatureEvent, now_ms: int, catalogue: Catalogue
) -> tuple[ActiveFreeze, ...]:
    """Return the freezes that forbid what an event does to a trigger."""
    if event.feature.trigger is None:
        return ()
    before = state.trigger if state else None
    return active_freezes(
        catalogue.freezes.values(), before, event.feature.trigger, catalogue.regions.values(), now_ms
    )


def _overriding(event: FeatureEvent, freezes: tuple[ActiveFreeze, ...]) -> FeatureEvent:
    """Return an event with the freezes that it overrides in its records."""
    assert event.feature.trigger
    names = tuple(freeze.name for freeze in freezes)
    trigger = transitions.with_overridden_freezes(event.feature.trigger, names)
    return event.model_copy(
        update={"overrode": bounded_names(names), "feature": event.feature.changed(trigger=trigger)}
    )
