"""Commands to the catalogue: command, catalogue → the document to write, or why nothing is written."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..contracts.alert_sources import AlertSource
from ..contracts.catalogue import Environment, Region, SdkKey
from ..contracts.commands import (
    Command,
    CreateKey,
    DeleteAlertSource,
    DeleteEnvironment,
    DeleteFreeze,
    DeletePipeline,
    DeleteRegion,
    RevokeKey,
    SaveAlertSource,
    SaveEnvironment,
    SaveFreeze,
    SavePipeline,
    SaveRegion,
)
from ..contracts.freeze import Freeze
from ..contracts.identifiers import FeatureKey
from ..contracts.identity import ApiKey, is_reserved
from ..contracts.persons import canonical_name, has_invisible_characters
from ..contracts.pipeline import Pipeline
from ..contracts.replies import Refusal
from . import refusals
from .decision import Catalogue, Unchanged
from .message_limits import catalogue_document_bytes_max
from .permissions import denied_everywhere, missing_permission
from .reference_graph import ReferenceGraph
from .references import reference_error, references_of
from .validation import pipeline_errors


@dataclass(frozen=True, slots=True)
class Usage:
    """Which features are attached to each pipeline, and which are being released through it."""

    attached: Mapping[str, Collection[FeatureKey]] = field(default_factory=dict)
    running: Mapping[str, Collection[FeatureKey]] = field(default_factory=dict)


CatalogueDocument = Environment | Region | Pipeline | SdkKey | ApiKey | Freeze | AlertSource


@dataclass(frozen=True, slots=True)
class PutDocument:
    """Write this document; None deletes it."""

    kind: str
    id: str
    document: CatalogueDocument | None


CatalogueDecision = PutDocument | Unchanged | Refusal


def decide_catalogue(command: Command, catalogue: Catalogue, usage: Usage) -> CatalogueDecision:
    """Return what a command writes into the catalogue, or why it writes nothing.

    Each step happens once: authorise → validate → decide.
    """
    refusal = (
        denied_everywhere(command)
        or missing_permission(command, None, catalogue)
        or _invalid_document(command, catalogue)
    )
    decision = refusal or _decide_allowed(command, catalogue, usage)
    return _too_large(decision, catalogue) or decision


def _too_large(decision: CatalogueDecision, catalogue: Catalogue) -> Refusal | None:
    """Refuse a document that is too large for its stream, or for the releases that copy it."""
    if not isinstance(decision, PutDocument) or decision.document is None:
        return None
    size, size_max = (
        len(decision.document.to_json()),
        catalogue_document_bytes_max(catalogue.message_bytes_max),
    )
    return (
        refusals.document_too_large(decision.kind, decision.id, size, size_max) if size > size_max else None
    )


def document_of(command: Command, catalogue: Catalogue) -> tuple[str, str]:
    """Return kind and id of the document that a command writes or deletes."""
    match command:
        case SaveEnvironment(environment=Environment(name=id_)) | DeleteEnvironment(name=id_):
            return "environment", id_
        case SaveRegion(region=Region(name=id_)) | DeleteRegion(name=id_):
            return "region", id_
        case SavePipeline(pipeline=Pipeline(id=id_)) | DeletePipeline(pipeline_id=id_):
            return "pipeline", id_
        case SaveFreeze(freeze=Freeze(name=id_)) | DeleteFreeze(name=id_):
            return "freeze", id_
        case SaveAlertSource(source=AlertSource(name=id_)) | DeleteAlertSource(name=id_):
            return "alert_source", id_
        case CreateKey(key=SdkKey(id=id_)):
            return "key", id_
        case CreateKey(key=ApiKey(id=id_)):
            return "api_key", id_
        case RevokeKey(key_id=id_):
            return "api_key" if id_ in catalogue.api_keys else "key", id_
        case _:
            raise TypeError(f"{type(command).__name__} does not change the catalogue")


def _invalid_document(command: Command, catalogue: Catalogue) -> Refusal | None:
    """Refuse an invalid pipeline; one that is stored already may have been valid under older rules."""
    if (
        not isinstance(command, SavePipeline)
        or catalogue.pipelines.get(command.pipeline.id) == command.pipeline
    ):
        return None
    errors = pipeline_errors(command.pipeline, catalogue.environments, catalogue.regions.values())
    return refusals.invalid(errors) if errors else None


def _decide_allowed(command: Command, catalogue: Catalogue, usage: Usage) -> CatalogueDecision:
    match command:
        case SaveEnvironment(environment=environment):
            known = catalogue.environments.get(environment.name)
            return _put("environment", environment.name, environment, known)
        case SaveRegion(region=region):
            return _save_region(region, catalogue)
        case SavePipeline(pipeline=pipeline):
            return _save_pipeline(pipeline, catalogue, usage)
        case DeleteEnvironment(name=name):
            return _delete_environment(name, catalogue)
        case DeleteRegion(name=name):
            return _delete_region(name, catalogue)
        case DeletePipeline(pipeline_id=id_):
            return _delete_pipeline(id_, catalogue, usage)
        case CreateKey(key=SdkKey() as key):
            return _create_sdk_key(key, catalogue)
        case CreateKey(key=ApiKey() as key):
            return _create_api_key(key, catalogue)
        case RevokeKey(key_id=id_):
            return _revoke_key(id_, catalogue)
        case SaveFreeze(freeze=freeze):
            return _save_freeze(freeze, catalogue)
        case DeleteFreeze(name=name):
            return _delete("freeze", name, catalogue.freezes)
        case SaveAlertSource(source=source):
            return _save_alert_source(source, catalogue)
        case DeleteAlertSource(name=name):
            return _delete("alert_source", name, catalogue.alert_sources)
        case _:
            raise TypeError(f"{type(command).__name__} does not change the catalogue")


def _save_region(region: Region, catalogue: Catalogue) -> CatalogueDecision:
    where = f"region {region.name}"
    if refusal := _unknown("environment", [region.environment], catalogue.environments, where):
        return refusal
    return _put("region", region.name, region, catalogue.regions.get(region.name))


def _create_sdk_key(key: SdkKey, catalogue: Catalogue) -> CatalogueDecision:
    refusal = (
        _unknown("region", [key.region] if key.region else [], catalogue.regions)
        or _unknown("environment", [key.environment] if key.environment else [], catalogue.environments)
        or _existing_key(key, catalogue)
    )
    return refusal or _put("key", key.id, key, catalogue.keys.get(key.id))


def _create_api_key(key: ApiKey, catalogue: Catalogue) -> CatalogueDecision:
    if reserved := next((name for name in (key.owner, key.id) if is_reserved(name)), None):
        return refusals.reserved_key_name(key.id, reserved)
    if has_invisible_characters(key.owner) or not canonical_name(key.owner):
        return refusals.invisible_owner(key.id, key.owner)
    where = f"key of {key.owner}"
    environments = [name for grant in key.grants for name in grant.environments or ()]
    pipelines = [name for grant in key.grants for name in grant.pipelines or ()]
    refusal = (
        _unknown("environment", environments, catalogue.environments, where)
        or _unknown("pipeline", pipelines, catalogue.pipelines, where)
        or _existing_key(key, catalogue)
    )
    return refusal or _put("api_key", key.id, key, catalogue.api_keys.get(key.id))


def _existing_key(key: SdkKey | ApiKey, catalogue: Catalogue) -> Refusal | None:
    """Refuse a new key with the id of another."""
    other = catalogue.keys.get(key.id) or catalogue.api_keys.get(key.id)
    return None if other in (None, key) else refusals.key_exists(key.id)


def _revoke_key(id_: str, catalogue: Catalogue) -> CatalogueDecision:
    kind = "api_key" if id_ in catalogue.api_keys else "key"
    return _delete(kind, id_, {**catalogue.keys, **catalogue.api_keys})


def _save_freeze(freeze: Freeze, catalogue: Catalogue) -> CatalogueDecision:
    where = f"freeze {freeze.name}"
    refusal = (
        _unknown("environment", freeze.environments, catalogue.environments, where)
        or _unknown("region", freeze.regions, catalogue.regions, where)
        or _unknown("pipeline", freeze.pipelines, catalogue.pipelines, where)
    )
    return refusal or _put("freeze", freeze.name, freeze, catalogue.freezes.get(freeze.name))


def _save_alert_source(source: AlertSource, catalogue: Catalogue) -> CatalogueDecision:
    where = f"alert source {source.name}"
    refusal = _unknown("region", source.regions or (), catalogue.regions, where) or _unknown(
        "pipeline", source.pipelines or (), catalogue.pipelines, where
    )
    return refusal or _put("alert_source", source.name, source, catalogue.alert_sources.get(source.name))


def _save_pipeline(pipeline: Pipeline, catalogue: Catalogue, usage: Usage) -> CatalogueDecision:
    known = catalogue.pipelines.get(pipeline.id)
    if known == pipeline:
        return _put("pipeline", pipeline.id, pipeline, known)
    if error := _reference_error(pipeline, catalogue.references, usage):
        return refusals.unsafe_reference(f"pipeline {pipeline.id}", error)
    if running := usage.running.get(pipeline.id):
        return refusals.pipeline_running(pipeline.id, running)
    return _put("pipeline", pipeline.id, pipeline, known)


def _reference_error(pipeline: Pipeline, graph: ReferenceGraph, usage: Usage) -> str | None:
    """Return why the features attached to a pipeline must not be released by its conditions."""
    own, known = references_of(None, pipeline), graph.current
    if not own:
        return None
    for attached in _distinct(usage.attached.get(pipeline.id, ()), own, graph):
        name = attached.spec_name
        if error := reference_error(name, known.get(name, ()) + own, known):
            return f"{attached} would not be safe: {error}"
    return reference_error(f"pipeline {pipeline.id}", own, known)


def _distinct(
    features: Iterable[FeatureKey], own: tuple[str, ...], graph: ReferenceGraph
) -> Iterator[FeatureKey]:
    """Yield the features that may differ in what conditions that refer to `own` do to them.

    Those that neither refer to anything nor are referred to are alike: one of them stands for all.
    """
    is_represented = False
    for feature in features:
        name = feature.spec_name
        references = graph.of_feature(name)
        is_alone = not (references and references.current) and not graph.referrers(name) and name not in own
        if not (is_alone and is_represented):
            yield feature
        is_represented = is_represented or is_alone


def _delete_environment(name: str, catalogue: Catalogue) -> CatalogueDecision:
    regions = sorted(region.name for region in catalogue.regions.values() if region.environment == name)
    if regions:
        return refusals.environment_in_use(name, regions)
    if freezes := [freeze.name for freeze in catalogue.freezes.values() if name in freeze.environments]:
        return refusals.named_by_freezes(f"environment {name}", freezes)
    return _delete("environment", name, catalogue.environments)


def _delete_region(name: str, catalogue: Catalogue) -> CatalogueDecision:
    if freezes := [freeze.name for freeze in catalogue.freezes.values() if name in freeze.regions]:
        return refusals.named_by_freezes(f"region {name}", freezes)
    if sources := [s.name for s in catalogue.alert_sources.values() if name in (s.regions or ())]:
        return refusals.named_by_alert_sources(f"region {name}", sources)
    return _delete("region", name, catalogue.regions)


def _delete_pipeline(id_: str, catalogue: Catalogue, usage: Usage) -> CatalogueDecision:
    if users := usage.running.get(id_) or usage.attached.get(id_):
        return refusals.pipeline_in_use(id_, users)
    if freezes := [freeze.name for freeze in catalogue.freezes.values() if id_ in freeze.pipelines]:
        return refusals.named_by_freezes(f"pipeline {id_}", freezes)
    if sources := [s.name for s in catalogue.alert_sources.values() if id_ in (s.pipelines or ())]:
        return refusals.named_by_alert_sources(f"pipeline {id_}", sources)
    return _delete("pipeline", id_, catalogue.pipelines)


def _put(
    kind: str, id_: str, document: CatalogueDocument, known: CatalogueDocument | None
) -> CatalogueDecision:
    if known == document:
        return Unchanged(f"{kind} {id_} is unchanged")
    return PutDocument(kind, id_, document)


def _delete(kind: str, id_: str, known: Mapping[str, object]) -> CatalogueDecision:
    if id_ not in known:
        return refusals.unknown(kind, id_, known)
    return PutDocument(kind, id_, None)


def _unknown(noun: str, names: Iterable[str], known: Mapping[str, object], where: str = "") -> Refusal | None:
    """Refuse a document that names another one that does not exist."""
    missing = next((name for name in names if name not in known), None)
    if missing is None:
        return None
    return refusals.unknown(noun, missing, known, where=where, verb=f"save_{noun}")
