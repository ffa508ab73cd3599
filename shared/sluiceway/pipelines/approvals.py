"""Approving a phase: who may approve it, whose approval counts, and when it starts.

An approval that was given with a key lapses if that key is revoked or expires before the phase starts.
Once the phase has started, its approvals have done their work and stay as they are.
"""

from collections.abc import Callable, Sequence

from ..contracts.commands import ApprovePhase, Command
from ..contracts.events import EventType
from ..contracts.feature import ActionType, Approval, Feature, PhaseRun, Trigger, TriggerStatus
from ..contracts.identity import ApiKey
from ..contracts.persons import same_persons
from ..contracts.replies import Refusal
from . import refusals, transitions
from .decision import Unchanged
from .transitions import Variant

#: Returns the key with an id; None if there is none.
FindKey = Callable[[str], ApiKey | None]


def approve(trigger: Trigger, command: ApprovePhase, now_ms: int) -> Trigger | Variant | Unchanged | Refusal:
    """Return the trigger with the approval of one person; the last one that is needed starts the phase.

    Each approval in `trigger` counts: those that have lapsed were removed before.
    """
    run = trigger.current_run
    rule = run.phase.approvals
    same = same_persons(command.person, (trigger.creator, *(given.person for given in run.approvals)))
    if rule and not rule.allow_author and trigger.creator in same:
        return refusals.author_cannot_approve(trigger, command.actor)
    if rule and rule.groups and not _is_member(rule.groups, command):
        return refusals.not_in_approval_group(trigger, command.actor, rule.groups)
    if any(given.person in same for given in run.approvals):
        return _already_approved(trigger, run, command.actor)
    approved = transitions.approved(trigger, _approval(command, now_ms), now_ms)
    if approved.status is TriggerStatus.IN_PROGRESS:
        return approved
    return Variant(approved, EventType.APPROVAL_GIVEN, ActionType.APPROVED_FOR)


def lapsed_approver(command: Command, find_key: FindKey, now_ms: int) -> Refusal | None:
    """Return a refusal if a command approves with a key that has been revoked or has expired since.

    Whoever received the command checked the key, but may not know yet that it was revoked.
    """
    if not isinstance(command, ApprovePhase) or command.identity is None:
        return None
    if not has_lapsed(_approval(command, now_ms), find_key, now_ms):
        return None
    key_id = command.identity.vouched_by
    key = find_key(key_id)
    is_expired = key is not None and key.has_expired(now_ms)
    return refusals.expired_key(key_id, key.owner) if key and is_expired else refusals.revoked_key(key_id)


def without_lapsed_approvals(feature: Feature, find_key: FindKey, now_ms: int) -> Feature:
    """Return the feature with those approvals that count now."""
    trigger = feature.trigger
    counted = counted_trigger(trigger, find_key, now_ms) if trigger else None
    return feature if counted is trigger else feature.changed(trigger=counted)


def counted_trigger(trigger: Trigger, find_key: FindKey, now_ms: int) -> Trigger:
    """Return the trigger with those approvals that count now."""
    lapsed = lapsed_approvals(trigger, find_key, now_ms)
    if not lapsed:
        return trigger
    counting = tuple(approval for approval in trigger.current_run.approvals if approval not in lapsed)
    return transitions.with_approvals(trigger, counting)


def lapsed_approvals(trigger: Trigger, find_key: FindKey, now_ms: int) -> tuple[Approval, ...]:
    """Return the approvals of the phase that waits for its review that no longer count."""
    run = trigger.current_run
    if not trigger.status.is_active or run.started_ms is not None:
        return ()
    return tuple(approval for approval in run.approvals if has_lapsed(approval, find_key, now_ms))


def has_lapsed(approval: Approval, find_key: FindKey, now_ms: int) -> bool:
    """Return whether an approval was given with a key that is revoked or has expired.

    A key that was created later under the same id is another key. An approval without a key never
    lapses: sign-ins through a provider are not revoked, and a name that nobody vouches for has no end.
    """
    if approval.key_id is None:
        return False
    key = find_key(approval.key_id)
    return key is None or key.created_ms != approval.key_created_ms or key.has_expired(now_ms)


def approvals_needed(run: PhaseRun) -> int:
    """Return how many people must approve a phase that waits for its review."""
    return run.phase.approvals.count if run.phase.approvals else 1


def _approval(command: ApprovePhase, now_ms: int) -> Approval:
    identity = command.identity
    if identity is None or identity.key_created_ms is None:
        return Approval(actor_id=command.actor, time_ms=now_ms, account=command.account)
    return Approval(
        actor_id=command.actor,
        time_ms=now_ms,
        key_id=identity.vouched_by,
        key_created_ms=identity.key_created_ms,
        account=identity.account,
    )


def _is_member(groups: Sequence[str], command: ApprovePhase) -> bool:
    return command.identity is not None and not set(groups).isdisjoint(command.identity.groups)


def _already_approved(trigger: Trigger, run: PhaseRun, actor: str) -> Unchanged:
    approvers = ", ".join(approval.actor_id for approval in run.approvals)
    return Unchanged(
        f"{actor} has already approved {run.phase.id!r} of {trigger.id}; it has "
        f"{len(run.approvals)} of {approvals_needed(run)} approvals: {approvers}"
    )
