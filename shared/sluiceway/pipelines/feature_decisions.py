"""Save or archive a feature: what goes live immediately, what starts a release, and what is refused."""

from ..contracts.commands import ArchiveFeature, SaveFeature
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import ActionType, Feature, Spec
from ..contracts.identifiers import trigger_id
from ..contracts.pipeline import Pipeline
from ..contracts.replies import Refusal
from . import refusals, transitions
from .decision import Catalogue, Decision, Unchanged, event_of
from .message_limits import (
    EARLIER_RELEASE,
    reference_bytes_max,
    saved_document_bytes_max,
    state_bytes_max,
)
from .publishability import unpublishable
from .reference_graph import References
from .references import (
    added_references,
    evaluated_references,
    feature_references,
    reference_error,
    references_of,
    referrers_of,
)
from .spec_changes import is_same_spec, is_switch_off, needs_release, spec_of


def decide_save(state: Feature | None, command: SaveFeature, now_ms: int, catalogue: Catalogue) -> Decision:
    """Return what saving a valid document does."""
    document = command.feature
    if state and (active := state.active_trigger):
        return refusals.trigger_active(state.key, active)
    pipeline_id = document.release_pipeline_id
    pipeline = catalogue.pipelines.get(pipeline_id) if pipeline_id else None
    is_off_at_once = command.at_once and is_switch_off(state, document)
    if pipeline_id and not pipeline and not is_off_at_once:
        return refusals.unknown("pipeline", pipeline_id, catalogue.pipelines, verb="save_pipeline")
    feature = state or Feature(kind=document.key.kind, name=document.name, salt=document.name)
    before = None if feature.archived else feature.base
    after = spec_of(document, feature.versions + 1, None)
    if before and is_same_spec(before, after):
        return _attach(feature, pipeline_id, command, now_ms)
    feature = feature.changed(
        release_pipeline_id=pipeline_id,
        base=before,
        previous=None,
        candidate=None,
        versions=after.version,
        archived=False,
    )
    if pipeline is None or command.at_once or not needs_release(before, after, catalogue.environments):
        event = event_of(EventType.FEATURE_CHANGED, feature.changed(base=after), command, now_ms)
    else:
        event = _start(feature, after, pipeline, command, now_ms)
    if not (event.type is EventType.FEATURE_CHANGED and is_switch_off(state, document)):
        event = _without_ended_release(event, catalogue)
        if refusal := _too_large(event, catalogue):
            return refusal
    return (
        _unsafe_reference(state, event.feature, pipeline, catalogue.references.at(now_ms))
        or _unpublishable(event, catalogue)
        or event
    )


def _without_ended_release(event: FeatureEvent, catalogue: Catalogue) -> FeatureEvent:
    """Return the event without the record of a release that ended before it, if that would be too much."""
    feature, size_max = event.feature, state_bytes_max(catalogue.message_bytes_max)
    if feature.candidate or feature.trigger is None or event.full_size <= size_max:
        return event
    return event.model_copy(update={"feature": feature.changed(trigger=None), "left_out": (EARLIER_RELEASE,)})


def _too_large(event: FeatureEvent, catalogue: Catalogue) -> Refusal | None:
    """Refuse a state that leaves later steps too little room in a message."""
    feature, bytes_max = event.feature, catalogue.message_bytes_max
    size, size_max = event.full_size, state_bytes_max(bytes_max)
    if size > size_max:
        return refusals.state_too_large(feature.key, event, size, size_max)
    size, size_max = len(" ".join(feature_references(feature))), reference_bytes_max(bytes_max)
    return refusals.too_many_references(feature.key, size, size_max) if size > size_max else None


def _unpublishable(event: FeatureEvent, catalogue: Catalogue) -> Refusal | None:
    """Refuse what some phase could not publish in some region."""
    bytes_max = saved_document_bytes_max(catalogue.message_bytes_max)
    found = unpublishable(event, catalogue.environments, catalogue.regions.values(), bytes_max)
    return refusals.unpublishable(event.feature.key, found) if found else None


def _unsafe_reference(
    before: Feature | None, after: Feature, pipeline: Pipeline | None, known: References
) -> Refusal | None:
    """Refuse what a change refers to in addition; switching a feature off adds nothing."""
    is_attached = before is not None and before.release_pipeline_id == after.release_pipeline_id
    later = () if is_attached or after.candidate else references_of(None, pipeline)
    own, added = evaluated_references(after), added_references(before, after)
    error = reference_error(after.key.spec_name, own + later, known, added + later)
    return refusals.unsafe_reference(after.key, error) if error else None


def _attach(feature: Feature, pipeline_id: str | None, command: SaveFeature, now_ms: int) -> Decision:
    """Return the result of a save that changes only the pipeline, or nothing."""
    if feature.release_pipeline_id == pipeline_id:
        return Unchanged(f"no effective change to {feature.key}")
    attached = feature.changed(release_pipeline_id=pipeline_id)
    return event_of(EventType.FEATURE_CHANGED, attached, command, now_ms)


def _start(
    feature: Feature, after: Spec, pipeline: Pipeline, command: SaveFeature, now_ms: int
) -> FeatureEvent:
    run = feature.runs + 1
    candidate = after.model_copy(update={"trigger": trigger_id(feature.key, run)})
    action = transitions.action_record(
        ActionType.STARTED,
        now_ms=now_ms,
        phase_id=pipeline.phases[0].id,
        actor=command.actor,
        reason=command.reason,
    )
    trigger = transitions.started(feature.key, run, pipeline, action, command.account)
    feature = feature.changed(candidate=candidate, runs=run, trigger=trigger)
    return event_of(EventType.TRIGGER_STARTED, feature, command, now_ms, phase_id=pipeline.phases[0].id)


def decide_archive(
    state: Feature | None, command: ArchiveFeature, now_ms: int, catalogue: Catalogue
) -> Decision:
    """Return what archiving a feature does."""
    if state is None:
        return refusals.unknown_feature(command.key)
    if active := state.active_trigger:
        return refusals.trigger_active(state.key, active)
    if state.archived:
        return Unchanged(f"{state.key} is archived already")
    if users := _users(state.key.spec_name, catalogue):
        return refusals.feature_in_use(state.key, users)
    if restorers := catalogue.references.restorers(state.key.spec_name, now_ms):
        return refusals.needed_for_rollback(state.key, sorted(restorers))
    return event_of(EventType.FEATURE_ARCHIVED, state.changed(archived=True), command, now_ms)


def _users(spec_name: str, catalogue: Catalogue) -> list[str]:
    pipelines = {f"pipeline {id_}": references_of(None, p) for id_, p in catalogue.pipelines.items()}
    return sorted([*catalogue.references.referrers(spec_name), *referrers_of(spec_name, pipelines)])
