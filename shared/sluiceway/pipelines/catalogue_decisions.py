"""Catalogue, command → what to write, or why not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..contracts.catalogue import Environment, Region, SdkKey
from ..contracts.commands import (
    Command,
    CreateKey,
    DeleteEnvironment,
    DeleteFreeze,
    DeletePipeline,
    DeleteRegion,
    RevokeKey,
    SaveEnvironment,
    SaveFreeze,
    SavePipeline,
    SaveRegion,
)
from ..contracts.freeze import Freeze
from ..contracts.identifiers import feature_key
from ..contracts.identity import RESERVED_NAMES, ApiKey
from ..contracts.pipeline import Pipeline
from ..contracts.replies import Refusal, RefusalCode
from .decision import Catalogue, Unchanged
from .permissions import missing_permission
from .references import References, reference_error, references_of
from .validation import pipeline_errors

#: What makes a freeze name something no more.
FREEZE_VERBS = ("save_freeze", "delete_freeze")


@dataclass(frozen=True, slots=True)
class Usage:
    """Which features are attached to each pipeline, and which triggers run each."""

    attached: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    running: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


CatalogueDocument = Environment | Region | Pipeline | SdkKey | ApiKey | Freeze


@dataclass(frozen=True, slots=True)
class PutDocument:
    """Write this document; None deletes it."""

    kind: str
    id: str
    document: CatalogueDocument | None


CatalogueDecision = PutDocument | Unchanged | Refusal


def decide_catalogue(command: Command, catalogue: Catalogue, usage: Usage) -> CatalogueDecision:
    """Return what a command writes into the catalogue, or why it writes nothing."""
    if refusal := missing_permission(command, None, catalogue):
        return refusal
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
            return _create_key(key, catalogue)
        case CreateKey(key=ApiKey() as key):
            return _create_api_key(key, catalogue)
        case RevokeKey(key_id=id_):
            return _revoke_key(id_, catalogue)
        case SaveFreeze(freeze=freeze):
            return _save_freeze(freeze, catalogue)
        case DeleteFreeze(name=name):
            return _delete("freeze", name, catalogue.freezes, RefusalCode.UNKNOWN_FREEZE)
        case _:
            raise TypeError(f"{type(command).__name__} is no command of the catalogue")


def _save_region(region: Region, catalogue: Catalogue) -> CatalogueDecision:
    if region.environment not in catalogue.environments:
        known = ", ".join(sorted(catalogue.environments)) or "none"
        return Refusal(
            code=RefusalCode.UNKNOWN_ENVIRONMENT,
            message=f"region {region.name}: there is no environment {region.environment!r} (known: {known})",
            possible=("save_environment",),
        )
    return _put("region", region.name, region, catalogue.regions.get(region.name))


def _create_key(key: SdkKey, catalogue: Catalogue) -> CatalogueDecision:
    if key.region is not None and key.region not in catalogue.regions:
        known = ", ".join(sorted(catalogue.regions)) or "none"
        message = f"there is no region {key.region!r} (known: {known})"
        return Refusal(code=RefusalCode.UNKNOWN_REGION, message=message, possible=("save_region",))
    if key.environment is not None and key.environment not in catalogue.environments:
        known = ", ".join(sorted(catalogue.environments)) or "none"
        message = f"there is no environment {key.environment!r} (known: {known})"
        return Refusal(code=RefusalCode.UNKNOWN_ENVIRONMENT, message=message, possible=("save_environment",))
    if refusal := _taken(key, catalogue):
        return refusal
    return _put("key", key.id, key, catalogue.keys.get(key.id))


def _create_api_key(key: ApiKey, catalogue: Catalogue) -> CatalogueDecision:
    if key.owner in RESERVED_NAMES or key.id in RESERVED_NAMES:
        reserved = ", ".join(sorted(RESERVED_NAMES))
        message = f"key {key.id}: {key.owner!r} is the name of a service; any but {reserved} is free"
        return Refusal(code=RefusalCode.INVALID, message=message)
    scopes = (
        ("environment", "environments", catalogue.environments, RefusalCode.UNKNOWN_ENVIRONMENT),
        ("pipeline", "pipelines", catalogue.pipelines, RefusalCode.UNKNOWN_PIPELINE),
    )
    for noun, field_, known, code in scopes:
        named = [name for grant in key.grants for name in getattr(grant, field_) or ()]
        if missing := [name for name in named if name not in known]:
            names = ", ".join(sorted(known)) or "none"
            message = f"key of {key.owner}: there is no {noun} {missing[0]!r} (known: {names})"
            return Refusal(code=code, message=message, possible=(f"save_{noun}",))
    if refusal := _taken(key, catalogue):
        return refusal
    return _put("api_key", key.id, key, catalogue.api_keys.get(key.id))


def _taken(key: SdkKey | ApiKey, catalogue: Catalogue) -> Refusal | None:
    """Refuse a new key with the id of another."""
    other = catalogue.keys.get(key.id) or catalogue.api_keys.get(key.id)
    if other is None or other == key:
        return None
    return _in_use(f"there is another key with the id {key.id}; make a new one", ("create_key",))


def _revoke_key(id_: str, catalogue: Catalogue) -> CatalogueDecision:
    kind = "api_key" if id_ in catalogue.api_keys else "key"
    return _delete(kind, id_, {**catalogue.keys, **catalogue.api_keys}, RefusalCode.UNKNOWN_KEY)


def _save_freeze(freeze: Freeze, catalogue: Catalogue) -> CatalogueDecision:
    scopes = (
        ("environment", freeze.environments, catalogue.environments, RefusalCode.UNKNOWN_ENVIRONMENT),
        ("region", freeze.regions, catalogue.regions, RefusalCode.UNKNOWN_REGION),
        ("pipeline", freeze.pipelines, catalogue.pipelines, RefusalCode.UNKNOWN_PIPELINE),
    )
    for noun, named, known, code in scopes:
        if missing := [name for name in named if name not in known]:
            names = ", ".join(sorted(known)) or "none"
            message = f"freeze {freeze.name}: there is no {noun} {missing[0]!r} (known: {names})"
            return Refusal(code=code, message=message, possible=(f"save_{noun}",))
    return _put("freeze", freeze.name, freeze, catalogue.freezes.get(freeze.name))


def _save_pipeline(pipeline: Pipeline, catalogue: Catalogue, usage: Usage) -> CatalogueDecision:
    known = catalogue.pipelines.get(pipeline.id)
    if known == pipeline:
        return _put("pipeline", pipeline.id, pipeline, known)
    if faults := pipeline_errors(pipeline, catalogue.environments, catalogue.regions.values()):
        return Refusal(code=RefusalCode.INVALID, message="; ".join(faults))
    if fault := _reference_fault(pipeline, catalogue.references, usage):
        return Refusal(
            code=RefusalCode.UNSAFE_REFERENCE,
            message=f"pipeline {pipeline.id}: {fault}",
            possible=("save_pipeline",),
        )
    if running := usage.running.get(pipeline.id):
        return _in_use(
            f"pipeline {pipeline.id} is running for {', '.join(running)}; end that first", ("abort",)
        )
    return _put("pipeline", pipeline.id, pipeline, known)


def _reference_fault(pipeline: Pipeline, known: References, usage: Usage) -> str | None:
    """Say why the features that are attached to a pipeline must not be released by its conditions."""
    own = references_of(None, pipeline)
    if not own:
        return None
    for attached in usage.attached.get(pipeline.id, ()):
        name = feature_key(attached).spec_name
        if fault := reference_error(name, known.get(name, ()) + own, known):
            return f"{attached} would not be safe: {fault}"
    return reference_error(f"pipeline {pipeline.id}", own, known)


def _delete_environment(name: str, catalogue: Catalogue) -> CatalogueDecision:
    inside = sorted(region.name for region in catalogue.regions.values() if region.environment == name)
    if inside:
        return _in_use(f"environment {name} holds the regions {', '.join(inside)}", ("delete_region",))
    if freezes := [freeze for freeze in catalogue.freezes.values() if name in freeze.environments]:
        return _in_use(f"environment {name} is named by {_named(freezes)}", FREEZE_VERBS)
    return _delete("environment", name, catalogue.environments, RefusalCode.UNKNOWN_ENVIRONMENT)


def _delete_region(name: str, catalogue: Catalogue) -> CatalogueDecision:
    if freezes := [freeze for freeze in catalogue.freezes.values() if name in freeze.regions]:
        return _in_use(f"region {name} is named by {_named(freezes)}", FREEZE_VERBS)
    return _delete("region", name, catalogue.regions, RefusalCode.UNKNOWN_REGION)


def _named(freezes: Iterable[Freeze]) -> str:
    return ", ".join(f"freeze {name}" for name in sorted(freeze.name for freeze in freezes))


def _delete_pipeline(id_: str, catalogue: Catalogue, usage: Usage) -> CatalogueDecision:
    if users := usage.running.get(id_) or usage.attached.get(id_):
        return _in_use(
            f"pipeline {id_} is used by {', '.join(users)}; detach it there first", ("save_feature",)
        )
    if freezes := [freeze for freeze in catalogue.freezes.values() if id_ in freeze.pipelines]:
        return _in_use(f"pipeline {id_} is named by {_named(freezes)}", FREEZE_VERBS)
    return _delete("pipeline", id_, catalogue.pipelines, RefusalCode.UNKNOWN_PIPELINE)


def _put(
    kind: str,
    id_: str,
    document: CatalogueDocument,
    known: CatalogueDocument | None,
) -> CatalogueDecision:
    if known == document:
        return Unchanged(f"{kind} {id_} is so already")
    return PutDocument(kind, id_, document)


def _delete(kind: str, id_: str, known: Mapping[str, object], code: RefusalCode) -> CatalogueDecision:
    if id_ not in known:
        names = ", ".join(sorted(known)) or "none"
        return Refusal(code=code, message=f"there is no {kind} {id_!r} (known: {names})")
    return PutDocument(kind, id_, None)


def _in_use(message: str, possible: tuple[str, ...]) -> Refusal:
    return Refusal(code=RefusalCode.IN_USE, message=message, possible=possible)
