"""Models → commands, one after the other; or what they would do."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..clock import now_ms
from ..contracts.catalogue import Environment, Region
from ..contracts.commands import (
    Command,
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
from ..messaging.command_client import CommandClient
from ..messaging.connection import Connection
from ..messaging.feature_log import FeatureLog
from ..pipelines.catalogue_decisions import CatalogueDecision, PutDocument, decide_catalogue
from ..pipelines.decide import decide
from ..pipelines.decision import Catalogue, Decision
from ..pipelines.references import feature_references
from ..trigger_view import describe_override, phase_status
from . import snapshots
from .document_files import Document

#: The kind in a document → what people call it.
NOUNS: Mapping[str, str] = {
    "Environment": "environment",
    "Region": "region",
    "ReleasePipeline": "pipeline",
    "Freeze": "freeze",
    "Segment": "segment",
    "FeatureGate": "gate",
    "DynamicConfig": "config",
}


class ApplyResult(NamedTuple):
    """What became of one document."""

    kind: str
    name: str
    outcome: Outcome
    message: str
    trigger: str | None = None
    #: What the pipeline's author wants to be read by whoever starts a trigger.
    notice: str | None = None
    refusal: Refusal | None = None

    def line(self) -> str:
        return f"{self.kind} {self.name}: {self.message}"

    def to_jsonable(self) -> dict[str, Any]:
        refusal = self.refusal.to_jsonable() if self.refusal else None
        return {**self._asdict(), "refusal": refusal}


class ApplyOptions(NamedTuple):
    """Who saves the documents, why, and whether that starts phases inside freezes as well."""

    actor: str
    reason: str | None = None
    override_freeze: bool = False


def command_of(document: Document, wish: ApplyOptions) -> Command:
    """Return the command that saves a document."""
    actor, reason = wish.actor, wish.reason
    match document:
        case Environment():
            return SaveEnvironment(actor=actor, reason=reason, environment=document)
        case Region():
            return SaveRegion(actor=actor, reason=reason, region=document)
        case Pipeline():
            return SavePipeline(actor=actor, reason=reason, pipeline=document)
        case Freeze():
            return SaveFreeze(actor=actor, reason=reason, freeze=document)
        case _:
            return SaveFeature(
                actor=actor, reason=reason, feature=document, override_freeze=wish.override_freeze
            )


async def apply_all(
    connection: Connection, documents: Iterable[Document], actor: str, reason: str | None
) -> list[ApplyResult]:
    """Send each document's command, and return what became of each; a refusal stops no other."""
    return [result async for result in apply_documents(connection, documents, ApplyOptions(actor, reason))]


async def apply_documents(
    connection: Connection, documents: Iterable[Document], wish: ApplyOptions
) -> AsyncIterator[ApplyResult]:
    """Send each document's command, and give what became of each as soon as it is known."""
    commands = CommandClient(connection)
    before = await snapshots.catalogue(connection)
    for document in documents:
        reply = await commands.send(command_of(document, wish))
        yield _applied(document, reply, is_new=not _is_in(before, document))


async def preview_documents(
    connection: Connection, documents: Iterable[Document], wish: ApplyOptions
) -> AsyncIterator[ApplyResult]:
    """Give what applying would do, decided by the very functions that the scheduler decides with.

    Each document meets what those before it would leave behind.
    """
    feature_log = FeatureLog(connection, "/sluiceway/cli")
    catalogue, usage = await snapshots.catalogue(connection), await snapshots.usage(connection)
    catalogue = replace(catalogue, references=await snapshots.references(connection))
    states: dict[FeatureKey, Feature | None] = {}
    for document in documents:
        command = command_of(document, wish)
        if isinstance(command, SaveFeature):
            key = command.key
            if key not in states:
                tail = await feature_log.tail(key)
                states[key] = tail.logged.event.feature if tail.logged else None
            decision = decide(states[key], command, now_ms(), catalogue)
            if isinstance(decision, FeatureEvent):
                states[key] = decision.feature
                known = {**catalogue.references, key.spec_name: feature_references(decision.feature)}
                catalogue = replace(catalogue, references=known)
            yield _would(document, decision)
        else:
            change = decide_catalogue(command, catalogue, usage)
            yield _would(document, change, is_new=not _is_in(catalogue, document))
            catalogue = _with(catalogue, change)


def summary(feature: Feature) -> str:
    """Return where a feature stands, in words."""
    trigger = feature.trigger
    if trigger is None or not trigger.status.is_active:
        return "live"
    at = f"{trigger.id} {trigger.status}, phase {trigger.current_run.phase.id}"
    if trigger.held:
        return f"{at}, held by {'; '.join(trigger.held)}"
    if trigger.status is TriggerStatus.WAITING_FOR_REVIEW:
        return f"{at}, {phase_status(trigger, trigger.current_run)}"
    return f"{at}, next in {format_duration(max(0, trigger.due_ms - now_ms()))}" if trigger.due_ms else at


def _applied(document: Document, reply: Reply, *, is_new: bool) -> ApplyResult:
    kind, name = _named(document)
    if reply.refusal:
        text = f"refused: {reply.refusal.message}"
        return ApplyResult(kind, name, Outcome.REFUSED, text, refusal=reply.refusal)
    if reply.outcome is Outcome.UNCHANGED:
        return ApplyResult(kind, name, Outcome.UNCHANGED, "unchanged")
    if reply.feature is None:
        return ApplyResult(kind, name, Outcome.ACCEPTED, "created" if is_new else "changed")
    return _saved(kind, name, reply.feature, "started")


def _would(
    document: Document, decision: Decision | CatalogueDecision, *, is_new: bool = False
) -> ApplyResult:
    kind, name = _named(document)
    match decision:
        case Refusal():
            text = f"would be refused: {decision.message}"
            return ApplyResult(kind, name, Outcome.REFUSED, text, refusal=decision)
        case FeatureEvent(type=EventType.TRIGGER_STARTED):
            return _saved(kind, name, decision.feature, "would start")
        case FeatureEvent():
            return ApplyResult(kind, name, Outcome.ACCEPTED, "would go live at once")
        case PutDocument():
            return ApplyResult(kind, name, Outcome.ACCEPTED, f"would be {'created' if is_new else 'changed'}")
        case _:
            return ApplyResult(kind, name, Outcome.UNCHANGED, "unchanged")


def _saved(kind: str, name: str, feature: Feature, verb: str) -> ApplyResult:
    trigger = feature.active_trigger
    if trigger is None:
        return ApplyResult(kind, name, Outcome.ACCEPTED, "live at once")
    return ApplyResult(
        kind,
        name,
        Outcome.ACCEPTED,
        f"trigger {trigger.id} {verb} ({trigger.status}, phase {trigger.current_run.phase.id})"
        + describe_override(trigger.actions[-1].overrode),
        trigger.id,
        trigger.pipeline.trigger_notice,
    )


def _named(document: Document) -> tuple[str, str]:
    return NOUNS[document.kind], document.id if isinstance(document, Pipeline) else document.name


def _is_in(catalogue: Catalogue, document: Document) -> bool:
    match document:
        case Environment():
            return document.name in catalogue.environments
        case Region():
            return document.name in catalogue.regions
        case Pipeline():
            return document.id in catalogue.pipelines
        case Freeze():
            return document.name in catalogue.freezes
        case _:
            return False


def _with(catalogue: Catalogue, change: CatalogueDecision) -> Catalogue:
    """Return the catalogue as it would be after a change, for the documents behind it."""
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
        case _:
            return catalogue
