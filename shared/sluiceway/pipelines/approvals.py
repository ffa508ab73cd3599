"""Approving a phase: who may approve it, whose approval counts, and when it starts."""

from collections.abc import Sequence

from ..contracts.commands import ApprovePhase
from ..contracts.events import EventType
from ..contracts.feature import ActionType, PhaseRun, Trigger, TriggerStatus
from ..contracts.replies import Refusal
from . import refusals, transitions
from .decision import Unchanged
from .transitions import Variant


def approve(trigger: Trigger, command: ApprovePhase, now_ms: int) -> Trigger | Variant | Unchanged | Refusal:
    """Return the trigger with the approval of one person; the last one that is needed starts the phase."""
    run = trigger.current_run
    rule = run.phase.approvals
    if rule and not rule.allow_author and command.actor == trigger.creator_id:
        return refusals.author_cannot_approve(trigger, command.actor)
    if rule and rule.groups and not _is_member(rule.groups, command):
        return refusals.not_in_approval_group(trigger, command.actor, rule.groups)
    if any(approval.actor_id == command.actor for approval in run.approvals):
        return _already_approved(trigger, run, command.actor)
    approved = transitions.approved(trigger, command.actor, now_ms)
    if approved.status is TriggerStatus.IN_PROGRESS:
        return approved
    return Variant(approved, EventType.APPROVAL_GIVEN, ActionType.APPROVED_FOR)


def approvals_needed(run: PhaseRun) -> int:
    """Return how many people must approve a phase that waits for its review."""
    return run.phase.approvals.count if run.phase.approvals else 1


def _is_member(groups: Sequence[str], command: ApprovePhase) -> bool:
    return command.identity is not None and not set(groups).isdisjoint(command.identity.groups)


def _already_approved(trigger: Trigger, run: PhaseRun, actor: str) -> Unchanged:
    approvers = ", ".join(approval.actor_id for approval in run.approvals)
    return Unchanged(
        f"{actor} has already approved {run.phase.id!r} of {trigger.id}; it has "
        f"{len(run.approvals)} of {approvals_needed(run)} approvals: {approvers}"
    )
