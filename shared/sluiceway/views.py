"""State → the fields of Statsig's Console API, and a few of our own behind them."""

from collections.abc import Sequence
from typing import Any

from .contracts.feature import ActionType, Feature, PhaseRun, Trigger
from .contracts.identifiers import FeatureKind

#: Our actions that the Console API knows by another name.
CONSOLE_ACTIONS = {ActionType.COMPLETED: "CLEANED_UP"}

#: What people call a feature of a kind, and the field that holds its name.
NOUNS = {FeatureKind.GATE: "gate", FeatureKind.DYNAMIC_CONFIG: "config", FeatureKind.SEGMENT: "segment"}
ID_FIELDS = {
    FeatureKind.GATE: "gateID",
    FeatureKind.DYNAMIC_CONFIG: "dynamicConfigID",
    FeatureKind.SEGMENT: "segmentID",
}


def describe_override(freezes: Sequence[str]) -> str:
    """Return the freezes that were overridden, as an addition to a line; nothing where there are none."""
    return f" (overrode freeze {', '.join(freezes)})" if freezes else ""


def feature_view(feature: Feature) -> dict[str, Any]:
    """Return a gate or config."""
    spec = feature.base or feature.candidate
    view: dict[str, Any] = {
        "id": feature.name,
        "name": feature.name,
        "isEnabled": spec.is_enabled if spec else False,
        "description": spec.description if spec else "",
        "idType": spec.id_type if spec else "userID",
        "rules": [rule.to_jsonable() for rule in feature.base.rules] if feature.base else [],
        "releasePipelineID": feature.release_pipeline_id,
        "version": feature.base.version if feature.base else None,
        "status": status_of(feature),
        "triggerID": feature.active_trigger.id if feature.active_trigger else None,
        "candidate": feature.candidate.to_jsonable() if feature.candidate else None,
    }
    if feature.kind is FeatureKind.SEGMENT:
        view["ids"] = list(feature.base.ids) if feature.base else []
    if feature.kind is FeatureKind.DYNAMIC_CONFIG:
        view["defaultValue"] = feature.base.default_value if feature.base else {}
    return view


def status_of(feature: Feature) -> str:
    """Return archived, releasing, live, or new (nothing of it was ever live)."""
    if feature.archived:
        return "archived"
    if feature.active_trigger:
        return "releasing"
    return "live" if feature.base else "new"


def trigger_view(feature: Feature, trigger: Trigger) -> dict[str, Any]:
    """Return a trigger of a feature."""
    last = trigger.actions[-1]
    is_active = trigger.status.is_active
    current = trigger.current_run.phase
    named = ID_FIELDS[feature.kind]
    return {
        "id": trigger.id,
        "releasePipelineID": trigger.pipeline.id,
        named: feature.name,
        "description": trigger.description,
        "status": trigger.status,
        "currentPhase": current.name if is_active else None,
        "currentPhaseID": current.id if is_active else None,
        "currentPhaseEndTime": trigger.due_ms,
        "creatorID": trigger.creator_id,
        "createdTime": trigger.created_ms,
        "lastModifierID": last.actor_id,
        "lastModifierName": last.actor_id,
        "actions": [
            {
                "type": CONSOLE_ACTIONS.get(action.type, action.type),
                "timeMs": action.time_ms,
                "phaseID": action.phase_id,
                "actorID": action.actor_id,
                "actorName": action.actor_id,
                "reason": action.reason,
                "overrode": list(action.overrode),
            }
            for action in trigger.actions
        ],
        "phases": [_phase_view(trigger, run) for run in trigger.phases],
        "held": list(trigger.held),
        "endedTime": trigger.ended_ms,
        "observedUntilTime": trigger.observed_until_ms,
    }


def phase_status(trigger: Trigger, run: PhaseRun) -> str:
    """Return where one phase of a trigger stands, in a word or two."""
    if run.skipped:
        return "skipped, not released"
    if run.ended_ms is not None:
        return "released"
    if run is trigger.current_run and trigger.status.is_active:
        if run.started_ms is None:
            return _waiting(run)
        return "held" if trigger.held else "paused" if trigger.due_ms is None else "bakes"
    return "not released" if run.started_ms is None else "released"


def _waiting(run: PhaseRun) -> str:
    needed = run.phase.approvals.count if run.phase.approvals else 1
    return (
        f"waits for review, {len(run.approvals)} of {needed} approvals" if needed > 1 else "waits for review"
    )


def _phase_view(trigger: Trigger, run: PhaseRun) -> dict[str, Any]:
    return {
        "id": run.phase.id,
        "name": run.phase.name,
        "status": phase_status(trigger, run),
        "approvals": [approval.to_jsonable() for approval in run.approvals],
        "startedTime": run.started_ms,
        "endedTime": run.ended_ms,
    }
