"""Saves documents, one command after the other, or previews what that would do."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..clock import now_ms
from ..contracts.alert_sources import AlertSource
from ..contracts.catalogue import Environment, Region
from ..contracts.commands import (
    Command,
    SaveAlertSource,
    SaveEnvironment,
    SaveFeature,
    SaveFreeze,
    SavePipeline,
    SaveRegion,
)
from ..contracts.durations import format_duration
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import Feature, TriggerStatus
from ..contracts.freeze import Freeze
from ..contracts.identifiers import FeatureKey
from ..contracts.pipeline import Pipeline
from ..contracts.replies import Outcome, Refusal, Reply
from ..contracts.revisions import RevisionTag
from ..messaging.command_client import CommandClient
from ..messaging.connection import Connection
from ..messaging.feature_edits import FeatureReading
from ..pipelines import refusals
from ..pipelines.catalogue_decisions import CatalogueDecision, PutDocument, decide_catalogue, document_of
from ..pipelines.decide import decide
from ..pipelines.decision import Catalogue, Decision
from ..pipelines.reference_graph import FeatureReferences
from ..pipelines.references import feature_references
from ..trigger_view import describe_override, phase_status
from .current_state import read_catalogue, read_feature, read_references, read_revision, read_usage
from .document_files import Document, FileDocument

#: `kind` in a document → the noun in messages.
NOUNS: Mapping[str, str] = {
    "Environment": "environment",
    "Region": "region",
    "ReleasePipeline": "pipeline",
    "Freeze": "freeze",
    "AlertSource": "alert source",
    "Segment": "segment",
    "FeatureGate": "gate",
    "DynamicConfig": "config",
}


class ApplyResult(NamedTuple):
    """The result of applying one document."""

    kind: str
    name: str
    outcome: Outcome
    message: str
    trigger: str | None = None
    #: The notice of the pipeline's author for people who start a trigger.
    notice: str | None = None
    refusal: Refusal | None = None
    #: The revision that is stored now.
    revision: RevisionTag | None = None

    def line(self) -> str:
        return f"{self.kind} {self.name}: {self.message}"

    def to_jsonable(self) -> dict[str, Any]:
        refusal = self.refusal.to_jsonable() if self.refusal else None
        return {**self._asdict(), "refusal": refusal}


class ApplyOptions(NamedTuple):
    """Who saves the documents, why, and whether phases start even during a freeze."""

    actor: str
    reason: str | None = None
    override_freeze: bool = False


def save_command(found: FileDocument, options: ApplyOptions) -> Command:
    """Return the command that saves a document.

    A file is the wanted state, whatever is there; unless it names the revision that its author has read.
    """
    common: dict[str, Any] = {
        "actor": options.actor,
        "reason": options.reason,
        "expected_revision": found.revision,
    }
    match found.document:
        case Environment() as environment:
            return SaveEnvironment(**common, environment=environment)
        case Region() as region:
            return SaveRegion(**common, region=region)
        case Pipeline() as pipeline:
            return SavePipeline(**common, pipeline=pipeline)
        case Freeze() as freeze:
            return SaveFreeze(**common, freeze=freeze)
        case AlertSource() as source:
            return SaveAlertSource(**common, source=source)
        case feature:
            return SaveFeature(**common, feature=feature, override_freeze=options.override_freeze)


async def apply_all(
    connection: Connection, documents: Iterable[Document], actor: str, reason: str | None
) -> list[ApplyResult]:
    """Save each document and return the results. After a refusal it goes on with the next document."""
    found, options = map(FileDocument, documents), ApplyOptions(actor, reason)
    return [result async for result in apply_documents(connection, found, options)]


async def apply_documents(
    connection: Connection, documents: Iterable[FileDocument], options: ApplyOptions
) -> AsyncIterator[ApplyResult]:
    """Save each document, and yield each result as soon as it is known."""
    commands = CommandClient(connection)
    before = await read_catalogue(connection)
    for found in documents:
        reply = await commands.send(save_command(found, options))
        result = _result(found.document, reply, is_new=not _exists_in(before, found.document))
        yield result._replace(revision=reply.revision_tag)


async def preview_documents(
    connection: Connection, documents: Iterable[FileDocument], options: ApplyOptions
) -> AsyncIterator[ApplyResult]:
    """Yield what applying each document would do, without saving anything.

    The functions that decide are those of the scheduler. Each document is decided on the state that the
    documents before it would leave.
    """
    catalogue, usage = await read_catalogue(connection), await read_usage(connection)
    catalogue = replace(catalogue, references=await read_references(connection))
    states: dict[FeatureKey, FeatureReading] = {}
    for found in documents:
        document, command = found.document, save_command(found, options)
        if isinstance(command, SaveFeature):
            key = command.key
            if key not in states:
                states[key] = await read_feature(connection, *key)
            state, revision, _ = states[key]
            decision = decide(state, command, now_ms(), catalogue, revision)
            if isinstance(decision, FeatureEvent):
                states[key] = FeatureReading(decision.feature, revision)
                references = FeatureReferences(feature_references(decision.feature))
                known = catalogue.references.changed(key.spec_name, references)
                catalogue = replace(catalogue, references=known)
            yield _preview(document, decision)
        else:
            change = await _stale(connection, command, catalogue) or decide_catalogue(
                command, catalogue, usage
            )
            yield _preview(document, change, is_new=not _exists_in(catalogue, document))
            catalogue = _catalogue_after(catalogue, change)


async def _stale(connection: Connection, command: Command, catalogue: Catalogue) -> Refusal | None:
    """Refuse a document that names another revision than the newest one."""
    if command.expected_revision is None:
        return None
    kind, id_ = document_of(command, catalogue)
    newest = await read_revision(connection, kind, id_)
    if newest == command.expected_revision:
        return None
    return refusals.stale(f"{kind} {id_}", command.expected_revision, newest)


def describe_progress(feature: Feature) -> str:
    """Return how far the release of a feature is, for example `…, phase eu, next in 5m`; else `live`."""
    trigger = feature.trigger
    if trigger is None or not trigger.status.is_active:
        return "live"
    progress = f"{trigger.id} {trigger.status}, phase {trigger.current_run.phase.id}"
    if trigger.held:
        return f"{progress}, held by {'; '.join(trigger.held)}"
    if trigger.status is TriggerStatus.WAITING_FOR_REVIEW:
        return f"{progress}, {phase_status(trigger, trigger.current_run)}"
    return (
        f"{progress}, next in {format_duration(max(0, trigger.due_ms - now_ms()))}"
        if trigger.due_ms
        else progress
    )


def _result(document: Document, reply: Reply, *, is_new: bool) -> ApplyResult:
    kind, name = _kind_and_name(document)
    if reply.refusal:
        text = f"refused: {reply.refusal.message}"
        return ApplyResult(kind, name, Outcome.REFUSED, text, refusal=reply.refusal)
    if reply.outcome is Outcome.UNCHANGED:
        return ApplyResult(kind, name, Outcome.UNCHANGED, "unchanged")
    if reply.feature is None:
        return ApplyResult(kind, name, Outcome.ACCEPTED, "created" if is_new else "changed")
    return _saved_feature(kind, name, reply.feature, "started")


def _preview(
    document: Document, decision: Decision | CatalogueDecision, *, is_new: bool = False
) -> ApplyResult:
    kind, name = _kind_and_name(document)
    match decision:
        case Refusal():
            text = f"would be refused: {decision.message}"
            return ApplyResult(kind, name, Outcome.REFUSED, text, refusal=decision)
        case FeatureEvent(type=EventType.TRIGGER_STARTED):
            return _saved_feature(kind, name, decision.feature, "would start")
        case FeatureEvent():
            return ApplyResult(kind, name, Outcome.ACCEPTED, "would go live immediately")
        case PutDocument():
            return ApplyResult(kind, name, Outcome.ACCEPTED, f"would be {'created' if is_new else 'changed'}")
        case _:
            return ApplyResult(kind, name, Outcome.UNCHANGED, "unchanged")


def _saved_feature(kind: str, name: str, feature: Feature, verb: str) -> ApplyResult:
    trigger = feature.active_trigger
    if trigger is None:
        return ApplyResult(kind, name, Outcome.ACCEPTED, "live immediately")
    return ApplyResult(
        kind,
        name,
        Outcome.ACCEPTED,
        f"trigger {trigger.id} {verb} ({trigger.status}, phase {trigger.current_run.phase.id})"
        + describe_override(trigger.actions[-1].overrode),
        trigger.id,
        trigger.pipeline.trigger_notice,
    )


def _kind_and_name(document: Document) -> tuple[str, str]:
    return NOUNS[document.kind], document.id if isinstance(document, Pipeline) else document.name


def _exists_in(catalogue: Catalogue, document: Document) -> bool:
    match document:
        case Environment():
            return document.name in catalogue.environments
        case Region():
            return document.name in catalogue.regions
        case Pipeline():
            return document.id in catalogue.pipelines
        case Freeze():
            return document.name in catalogue.freezes
        case AlertSource():
            return document.name in catalogue.alert_sources
        case _:
            return False


def _catalogue_after(catalogue: Catalogue, change: CatalogueDecision) -> Catalogue:
    """Return the catalogue as it would be after a change."""
    match change:
        case PutDocument(document=Environment() as environment):
            environments = {**catalogue.environments, environment.name: environment}
            return replace(catalogue, environments=environments)
        case PutDocument(document=Region() as region):
            regions = {**catalogue.regions, region.name: region}
            return replace(catalogue, regions=regions)
        case PutDocument(document=Pipeline() as pipeline):
            pipelines = {**catalogue.pipelines, pipeline.id: pipeline}
            return replace(catalogue, pipelines=pipelines)
        case PutDocument(document=Freeze() as freeze):
            return replace(catalogue, freezes={**catalogue.freezes, freeze.name: freeze})
        case PutDocument(document=AlertSource() as source):
            return replace(catalogue, alert_sources={**catalogue.alert_sources, source.name: source})
        case _:
            return catalogue
