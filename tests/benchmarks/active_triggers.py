"""Many active triggers, as events that the project's own code has decided.

Each is in the second of five phases, in two regions, after four actions. One is decided for each pipeline,
and copied with other names.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sluiceway.clock import now_ms
from sluiceway.contracts.catalogue import Environment, Region
from sluiceway.contracts.commands import (
    AdvancePhase,
    FeatureCommand,
    PauseTrigger,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
    SaveRegion,
    UnpauseTrigger,
)
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import FeatureGate
from sluiceway.contracts.identifiers import trigger_id
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue

from .catalogue import Save

PIPELINES = 10
ENVIRONMENTS = [Environment(name=name) for name in ("development", "production")]
REGIONS = [Region(name="dev", environment="development"), Region(name="prod", environment="production")]
#: No phase is due while anything is measured, unless that is measured.
BAKE_MS = 100 * 86_400_000
EVERYONE = {"name": "everyone", "conditions": [{"type": "public"}]}


def pipeline(number: int, bake_ms: int = BAKE_MS) -> Pipeline:
    """Return a pipeline of five phases: development, then production, tier by tier.

    Each phase in production watches an alert by a label that names the pipeline's team.
    """
    tiers = ("free", "pro", "team", "all")
    phases = [_phase("dev", "development", bake_ms=0)]
    for tier in tiers:
        where = {"type": "custom_field", "field": "tier", "operator": "any", "targetValue": [tier]}
        alert = {"name": "errors", "alert": {"matchLabels": {"team": team(number), "severity": "page"}}}
        conditions = [] if tier == "all" else [where]
        phases.append(_phase(tier, "production", bake_ms=bake_ms, conditions=conditions, guardrails=[alert]))
    return Pipeline.model_validate({"name": f"release-{number}", "phases": phases})


def team(number: int) -> str:
    """Return the label with which an alert is about the releases of a pipeline."""
    return f"team-{number}"


def catalogue() -> Iterator[Save]:
    """Give the commands that save what the triggers need, and one more pipeline, which none of them uses."""
    yield from (SaveEnvironment(actor="bench", environment=environment) for environment in ENVIRONMENTS)
    yield from (SaveRegion(actor="bench", region=region) for region in REGIONS)
    yield from (SavePipeline(actor="bench", pipeline=pipeline(number)) for number in range(PIPELINES + 1))


def active_triggers(
    names: Sequence[str], due_ms: Sequence[int] = (), pipelines: Sequence[int] = range(PIPELINES)
) -> Iterator[FeatureEvent]:
    """Give the newest event of a release for each name, through the pipelines in turn.

    `due_ms`: when each phase is due, if that matters.
    """
    models = [_released(number) for number in pipelines]
    for number, name in enumerate(names):
        yield _renamed(models[number % len(models)], name, due_ms[number] if due_ms else None)


def _phase(name: str, environment: str, **fields: Any) -> dict[str, Any]:
    bake_ms, conditions = fields.pop("bake_ms"), fields.pop("conditions", [])
    rule = {"name": name, "environments": [environment], "conditions": conditions}
    return {"name": name, "timeIntervalMs": bake_ms, "rules": [rule], **fields}


def _released(number: int) -> FeatureEvent:
    """Return the newest event of a release through a pipeline: saved, paused, unpaused, advanced."""
    plan = pipeline(number)
    known = Catalogue(
        environments={environment.name: environment for environment in ENVIRONMENTS},
        regions={region.name: region for region in REGIONS},
        pipelines={plan.id: plan},
    )
    before = FeatureGate.model_validate({"name": "gate", "description": "The new checkout"})
    after = before.model_copy(update={"release_pipeline_id": plan.id, "rules": _rules()})
    trigger = {"actor": "ada", "trigger": "gate.gate.1", "phase_id": "dev"}
    commands: list[FeatureCommand] = [
        SaveFeature(actor="ada", feature=before),
        SaveFeature(actor="ada", feature=after, reason="Ask fewer questions"),
        PauseTrigger(**trigger, reason="Support has a question"),
        UnpauseTrigger(**trigger),
        AdvancePhase(**{**trigger, "actor": "scheduler"}),
    ]
    event: FeatureEvent | None = None
    for command in commands:
        decision = decide(event.feature if event else None, command, now_ms(), known)
        assert isinstance(decision, FeatureEvent), decision
        event = decision
    assert event
    return event


def _rules() -> tuple[Any, ...]:
    country = {"type": "country", "operator": "any", "targetValue": ["NZ", "AU"]}
    rules = [{"name": "pilot", "passPercentage": 50, "conditions": [country]}, EVERYONE]
    return FeatureGate.model_validate({"name": "gate", "rules": rules}).rules


def _renamed(event: FeatureEvent, name: str, due_ms: int | None) -> FeatureEvent:
    feature = event.feature
    assert feature.trigger
    assert feature.candidate
    id_ = trigger_id(feature.key._replace(name=name), feature.runs)
    trigger = feature.trigger.model_copy(update={"id": id_, "due_ms": due_ms or feature.trigger.due_ms})
    candidate = feature.candidate.model_copy(update={"trigger": id_})
    renamed = feature.changed(name=name, salt=name, trigger=trigger, candidate=candidate)
    return event.model_copy(update={"feature": renamed})
