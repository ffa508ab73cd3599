"""Builders of models; each hides what does not matter to the test that calls it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sluiceway.contracts.catalogue import Environment, Region
from sluiceway.contracts.commands import FeatureCommand, SaveFeature, SkipPhase, TriggerCommand
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import DynamicConfig, Feature, FeatureDocument, FeatureGate, Trigger
from sluiceway.contracts.freeze import Freeze
from sluiceway.contracts.pipeline import Phase, Pipeline
from sluiceway.contracts.replies import Refusal
from sluiceway.evaluation.compiled_conditions import ProcessContext
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue, Decision, Unchanged
from sluiceway.pipelines.reference_graph import FeatureReferences
from sluiceway.pipelines.spec_changes import spec_of

NOW = 1_000_000
#: A process in which it is `NOW`.
PROCESS = ProcessContext(clock=lambda: NOW)
BAKE = 60_000
EVERYONE: dict[str, Any] = {"name": "everyone", "conditions": [{"type": "public"}]}


def a_phase(
    name: str = "dev",
    *,
    bake_ms: int = BAKE,
    review: bool = False,
    guardrails: Sequence[dict[str, Any]] = (),
    approvals: dict[str, Any] | None = None,
    **rule: Any,
) -> Phase:
    """Return a phase of one rule; without more, it covers everybody in development."""
    rule = {"name": name, "environments": ["development"], **rule}
    return Phase.model_validate(
        {
            "name": name,
            "timeIntervalMs": bake_ms,
            "requiredReview": review or approvals is not None,
            "approvals": approvals,
            "guardrails": guardrails,
            "rules": [rule],
        }
    )


def a_pipeline(*phases: Phase, **fields: Any) -> Pipeline:
    phases = phases or (a_phase("dev"), a_phase("prod"))
    return Pipeline(id="release", name="release", phases=phases, **fields)


def a_gate(*rules: dict[str, Any], name: str = "checkout", **fields: Any) -> FeatureGate:
    return FeatureGate.model_validate({"name": name, "rules": list(rules), **fields})


def a_config(value: dict[str, Any], *rules: dict[str, Any], **fields: Any) -> DynamicConfig:
    return DynamicConfig.model_validate(
        {"name": "limits", "defaultValue": value, "rules": list(rules), **fields}
    )


def a_region(name: str = "dev", environment: str = "development", **attributes: Any) -> Region:
    return Region(name=name, environment=environment, attributes=attributes)


def an_environment(name: str = "development", *, requires: bool = True) -> Environment:
    return Environment(name=name, requires_release_pipeline=requires)


def a_freeze(name: str = "quiet", *weekly: tuple[str, str], **fields: Any) -> Freeze:
    """Return a freeze; without more, it is always on, everywhere."""
    if weekly:
        fields["weekly"] = [{"from": start, "to": end} for start, end in weekly]
    elif "from" not in fields:
        fields |= {"from": "1970-01-01T00:00:00Z", "to": "2970-01-01T00:00:00Z"}
    return Freeze.model_validate({"name": name, **fields})


def a_catalogue(*pipelines: Pipeline, opted_out: tuple[str, ...] = ()) -> Catalogue:
    """Return a catalogue with three environments."""
    names = ("development", "staging", "production")
    return Catalogue(
        environments={name: an_environment(name, requires=name not in opted_out) for name in names},
        pipelines={pipeline.id: pipeline for pipeline in pipelines},
    )


class Ledger:
    """One feature with its log, decided command by command at a time of the test's choice."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self.catalogue = catalogue or a_catalogue(a_pipeline())
        self.now = NOW
        self.events: list[FeatureEvent] = []

    @property
    def state(self) -> Feature | None:
        return self.events[-1].feature if self.events else None

    @property
    def feature(self) -> Feature:
        assert self.state
        return self.state

    @property
    def trigger(self) -> Trigger:
        assert self.feature.trigger
        return self.feature.trigger

    def freeze(self, *freezes: Freeze, regions: tuple[Region, ...] = ()) -> None:
        """Let exactly these freezes be there, and these regions."""
        self.catalogue = replace(
            self.catalogue,
            freezes={freeze.name: freeze for freeze in freezes},
            regions={region.name: region for region in regions},
        )

    def know(self, name: str, *references: str) -> None:
        """Let there be another feature, by the name of its spec, that refers to these."""
        references_after = self.catalogue.references.changed(name, FeatureReferences(references))
        self.catalogue = replace(self.catalogue, references=references_after)

    def decide(self, command: FeatureCommand, *, after_ms: int = 0) -> Decision:
        """Decide a command, and append its event."""
        self.now += after_ms
        decision = decide(self.state, command, self.now, self.catalogue)
        if isinstance(decision, FeatureEvent):
            self.events.append(decision)
        return decision

    def save(self, document: FeatureDocument, **fields: Any) -> Decision:
        return self.decide(SaveFeature(actor="ada", feature=document, **fields))

    def act(self, model: type[TriggerCommand], *, after_ms: int = 0, **fields: Any) -> Decision:
        """Send a command to the newest trigger, meant for its current phase."""
        if "phase_id" in model.model_fields:
            fields.setdefault("phase_id", self.trigger.current_run.phase.id)
        return self.decide(model(**{"actor": "ada", "trigger": self.trigger.id, **fields}), after_ms=after_ms)


def a_release(*phases: Phase, **fields: Any) -> Ledger:
    """Return a gate that was off, and is being released to everyone through these phases."""
    ledger = Ledger(a_catalogue(a_pipeline(*phases, **fields)))
    ledger.save(a_gate())
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    return ledger


def a_trigger(*phases: Phase, phase: int = 1) -> Trigger:
    """Return a trigger at a phase, counted from 1; the phases before it were skipped."""
    ledger = a_release(*phases)
    for _ in range(phase - 1):
        ledger.act(SkipPhase)
    return ledger.trigger


def a_feature(*documents: FeatureGate | DynamicConfig) -> Feature:
    """Return the state of a feature after these versions were saved."""
    ledger = Ledger()
    for document in documents or (a_gate(EVERYONE),):
        ledger.save(document)
    return ledger.feature


def an_oversized_event(document: FeatureDocument) -> FeatureEvent:
    """Return the event of a document that was live before states were bounded."""
    kind, name = document.key
    base = spec_of(document, 1, None)
    return FeatureEvent(
        type=EventType.FEATURE_CHANGED,
        time_ms=NOW,
        actor_id="ada",
        command_id="old",
        feature=Feature(kind=kind, name=name, salt=name, base=base, versions=1),
    )


def happened(decision: Decision) -> FeatureEvent:
    assert isinstance(decision, FeatureEvent), decision
    return decision


def refused(decision: Decision) -> Refusal:
    assert isinstance(decision, Refusal), decision
    return decision


def unchanged(decision: Decision) -> Unchanged:
    assert isinstance(decision, Unchanged), decision
    return decision
