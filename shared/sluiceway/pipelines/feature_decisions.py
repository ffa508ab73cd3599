"""Save or archive a feature: what goes live at once, what starts a release, and what may not be."""

from ..contracts.commands import ArchiveFeature, SaveFeature
from ..contracts.events import EventType
from ..contracts.feature import ActionType, Feature, Spec
from ..contracts.identifiers import trigger_id
from ..contracts.pipeline import Pipeline
from ..contracts.replies import RefusalCode
from . import transitions
from .decision import Catalogue, Decision, Unchanged, event_of, refusal
from .references import reference_error, references_of, users_of
from .spec_changes import is_same_spec, needs_release, spec_of
from .validation import feature_errors


def decide_save(state: Feature | None, command: SaveFeature, now_ms: int, catalogue: Catalogue) -> Decision:
    document = command.feature
    if state and (active := state.active_trigger):
        return refusal(
            RefusalCode.TRIGGER_ACTIVE,
            f"{state.key} is being released by {active.id} ({active.status}, phase "
            f"{active.current_run.phase.id}); wait until it ends, or end it",
            ("abort", "roll_out"),
        )
    if faults := feature_errors(document, catalogue.environments):
        return refusal(RefusalCode.INVALID, "; ".join(faults))
    pipeline_id = document.release_pipeline_id
    pipeline = catalogue.pipelines.get(pipeline_id) if pipeline_id else None
    if pipeline_id and not pipeline:
        known = ", ".join(sorted(catalogue.pipelines)) or "none"
        return refusal(
            RefusalCode.UNKNOWN_PIPELINE,
            f"there is no pipeline {pipeline_id!r} (known: {known})",
            ("save_pipeline",),
        )
    feature = state or Feature(kind=document.key.kind, name=document.name, salt=document.name)
    before = None if feature.archived else feature.base
    after = spec_of(document, feature.versions + 1, None)
    if before and is_same_spec(before, after):
        if feature.release_pipeline_id == pipeline_id:
            return Unchanged(f"{feature.key} is so already: no effective change")
        attached = feature.changed(release_pipeline_id=pipeline_id)
        return event_of(EventType.FEATURE_CHANGED, attached, command, now_ms)
    own = references_of(before) + references_of(after, pipeline)
    if own and (fault := reference_error(document.key.spec_name, own, catalogue.references)):
        return refusal(RefusalCode.UNSAFE_REFERENCE, f"{document.key}: {fault}", ("save_feature",))
    feature = feature.changed(
        release_pipeline_id=pipeline_id,
        base=before,
        previous=None,
        candidate=None,
        versions=after.version,
        archived=False,
    )
    if pipeline is None or command.at_once or not needs_release(before, after, catalogue.environments):
        return event_of(EventType.FEATURE_CHANGED, feature.changed(base=after), command, now_ms)
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
    return event_of(EventType.TRIGGER_STARTED, feature, command, now_ms, phase_id=pipeline.phases[0].id)


def decide_archive(
    state: Feature | None, command: ArchiveFeature, now_ms: int, catalogue: Catalogue
) -> Decision:
    if state is None:
        return refusal(RefusalCode.UNKNOWN_FEATURE, f"there is no {command.key}", ("save_feature",))
    if active := state.active_trigger:
        return refusal(
            RefusalCode.TRIGGER_ACTIVE,
            f"{state.key} is being released by {active.id}; end that first",
            ("abort", "roll_out"),
        )
    if state.archived:
        return Unchanged(f"{state.key} is archived already")
    if users := _users(state.key.spec_name, catalogue):
        return refusal(
            RefusalCode.IN_USE, f"{state.key} is referred to by {', '.join(users)}; change that first"
        )
    return event_of(EventType.FEATURE_ARCHIVED, state.changed(archived=True), command, now_ms)


def _users(spec_name: str, catalogue: Catalogue) -> list[str]:
    pipelines = {f"pipeline {id_}": references_of(None, p) for id_, p in catalogue.pipelines.items()}
    return users_of(spec_name, {**catalogue.references, **pipelines})
