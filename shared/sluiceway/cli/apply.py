"""Models → commands, one after the other; or what they would do."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..clock import now_ms
from ..contracts.catalogue import Environment, Region
from ..contracts.commands import (
    Command,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
    SaveRegion,
)
from ..contracts.durations import spoken
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import Feature
from ..contracts.identifiers import FeatureKey
from ..contracts.pipeline import Pipeline
from ..contracts.replies import Outcome, Refusal, Reply
from ..messaging.commanding import Commander
from ..messaging.connection import Connection
from ..messaging.feature_log import FeatureLog
from ..pipelines.cataloguing import Put, Usage, decide_catalogue
from ..pipelines.decide import Catalogue, decide
from .documents import Document


class Applied(NamedTuple):
    """What became of one document."""

    kind: str
    name: str
    outcome: str
    message: str
    trigger: str | None = None
    notice: str | None = None

    def line(self) -> str:
        return f"{self.kind} {self.name}: {self.message}"


def command_of(document: Document, actor: str, reason: str | None) -> Command:
    """Return the command that saves a document."""
    match document:
        case Environment():
            return SaveEnvironment(actor=actor, reason=reason, environment=document)
        case Region():
            return SaveRegion(actor=actor, reason=reason, region=document)
        case Pipeline():
            return SavePipeline(actor=actor, reason=reason, pipeline=document)
        case _:
            return SaveFeature(actor=actor, reason=reason, feature=document)


async def apply(
    connection: Connection, documents: Iterable[Document], actor: str, reason: str | None
) -> list[Applied]:
    """Send each document's command, and return what became of each; a refusal stops no other."""
    commander = Commander(connection)
    return [
        _applied(document, await commander.send(command_of(document, actor, reason)))
        for document in documents
    ]


async def rehearse(
    connection: Connection,
    documents: Iterable[Document],
    catalogue: Catalogue,
    usage: Usage,
    actor: str,
) -> list[Applied]:
    """Return what applying would do, decided by the very functions that the scheduler decides with."""
    feature_log = FeatureLog(connection, "/sluiceway/cli")
    states: dict[FeatureKey, Feature | None] = {}
    results = []
    for document in documents:
        command = command_of(document, actor, None)
        if isinstance(command, SaveFeature):
            tail = await feature_log.tail(command.key)
            state = states.get(command.key, tail.logged.event.feature if tail.logged else None)
            decision = decide(state, command, now_ms(), catalogue)
            if isinstance(decision, FeatureEvent):
                states[command.key] = decision.feature
            results.append(_would(document, decision))
        else:
            change = decide_catalogue(command, catalogue, usage)
            catalogue = _with(catalogue, change)
            results.append(_would(document, change))
    return results


def summary(feature: Feature) -> str:
    """Return where a feature stands, in words."""
    trigger = feature.trigger
    if trigger is None or not trigger.status.is_active:
        return "live"
    left = f", next in {spoken(max(0, trigger.due_ms - now_ms()))}" if trigger.due_ms else ""
    return f"{trigger.id} {trigger.status}, phase {trigger.current_run.phase.id}{left}"


def _applied(document: Document, reply: Reply) -> Applied:
    kind, name = _named(document)
    if reply.refusal:
        return Applied(kind, name, Outcome.REFUSED, f"refused: {reply.refusal.message}")
    if reply.outcome is Outcome.UNCHANGED:
        return Applied(kind, name, Outcome.UNCHANGED, "unchanged")
    if reply.feature is None:
        return Applied(kind, name, Outcome.ACCEPTED, "saved")
    return _saved(kind, name, reply.feature, "started")


def _would(document: Document, decision: Any) -> Applied:
    kind, name = _named(document)
    match decision:
        case Refusal():
            return Applied(kind, name, Outcome.REFUSED, f"would be refused: {decision.message}")
        case FeatureEvent(type=EventType.TRIGGER_STARTED):
            return _saved(kind, name, decision.feature, "would start")
        case FeatureEvent():
            return Applied(kind, name, Outcome.ACCEPTED, "would go live at once")
        case Put():
            return Applied(kind, name, Outcome.ACCEPTED, "would be saved")
        case _:
            return Applied(kind, name, Outcome.UNCHANGED, "unchanged")


def _saved(kind: str, name: str, feature: Feature, verb: str) -> Applied:
    trigger = feature.active_trigger
    if trigger is None:
        return Applied(kind, name, Outcome.ACCEPTED, "live at once")
    return Applied(
        kind,
        name,
        Outcome.ACCEPTED,
        f"trigger {trigger.id} {verb} ({trigger.status}, phase {trigger.current_run.phase.id})",
        trigger.id,
        trigger.pipeline.trigger_notice,
    )


def _named(document: Document) -> tuple[str, str]:
    kinds: Mapping[str, str] = {
        "Environment": "environment",
        "Region": "region",
        "ReleasePipeline": "pipeline",
        "FeatureGate": "gate",
        "DynamicConfig": "config",
    }
    return kinds[document.kind], document.id if isinstance(document, Pipeline) else document.name


def _with(catalogue: Catalogue, change: Any) -> Catalogue:
    """Return the catalogue as it would be after a change, for the documents behind it."""
    match change:
        case Put(document=Environment() as environment):
            environments = {**catalogue.environments, environment.name: environment}
            return Catalogue(environments, catalogue.regions, catalogue.pipelines)
        case Put(document=Region() as region):
            regions = {**catalogue.regions, region.name: region}
            return Catalogue(catalogue.environments, regions, catalogue.pipelines)
        case Put(document=Pipeline() as pipeline):
            pipelines = {**catalogue.pipelines, pipeline.id: pipeline}
            return Catalogue(catalogue.environments, catalogue.regions, pipelines)
        case _:
            return catalogue
