"""What harms the official SDK is refused when it is saved, and again before it is published."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, FeatureGate
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.replies import Refusal
from sluiceway.contracts.rule_document import RuleDocument, SpecRule, SpecSet
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue, Decision
from sluiceway.pipelines.publish_checks import document_errors
from sluiceway.pipelines.reference_graph import ReferenceGraph, References
from sluiceway.pipelines.references import feature_references, reference_error
from tests.conformance.harmful_payloads import HARMFUL, Harm
from tests.support.builders import NOW, a_catalogue, a_phase, a_pipeline

#: No author can write these: a rule's conditions come with it.
NOT_WRITABLE = {"missing-condition"}


def on_gate(*names: str, kind: str = "passes_gate") -> list[dict[str, Any]]:
    return [{"type": kind, "targetValue": name} for name in names]


def on_field(operator: str | None, target: Any) -> list[dict[str, Any]]:
    return [{"type": "custom_field", "field": "x", "operator": operator, "targetValue": target}]


def rungs(levels: int, references: int) -> dict[str, list[dict[str, Any]]]:
    below = {f"g{n}": on_gate(*[f"g{n - 1}"] * references) for n in range(1, levels)}
    return {"g0": [{"type": "public"}], **below}


#: Harm → gates and their conditions, in the order in which they are saved; one of them is refused.
WRITTEN: dict[str, dict[str, list[dict[str, Any]]]] = {
    "tall-gate-ladder": rungs(60, 2),
    "gate-ladder": rungs(16, 2),
    "gate-chain": rungs(65, 1),
    "gate-cycle": {"b": [{"type": "public"}], "a": on_gate("b"), "b ": on_gate("a")},
    "gate-of-itself": {"a": [{"type": "public"}], "a ": on_gate("a")},
    "colliding-elements": {"a": on_field("eq", ["A", "a"])},
    "colliding-elements-neq": {"a": on_field("neq", ["A", "a"])},
    "on-a-number": {"a": on_field("on", 0)},
    "unknown-operator": {"a": on_field("resembles", "x")},
    "missing-operator": {"a": on_field(None, "x")},
    "missing-gate": {"a": on_gate("typo", kind="fails_gate")},
    "empty-array-element": {"a": on_field("array_contains_any", ["", "b"])},
    "unbounded-regex": {"a": on_field("str_matches", r"^(?:(a+)+\1c|.*b)$")},
}
#: Harm → the gates that the conditions of the pipeline's phase name, for the gate `a` on it.
RELEASED_BY: dict[str, list[dict[str, Any]]] = {
    "override-of-itself": on_gate("a"),
    "override-cycle": on_gate("b"),
    "override-ladder": on_gate("a", "a"),
}


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_it_is_refused_when_a_gate_is_saved(name: str) -> None:
    saved = Saved(a_catalogue())

    decisions = [saved.save(a_gate_of(gate.strip(), c)) for gate, c in WRITTEN[name].items()]
    refusals = [decision for decision in decisions if isinstance(decision, Refusal)]

    assert refusals, f"{name} was saved"
    assert all(refusal.message for refusal in refusals)


@pytest.mark.parametrize("name", sorted(RELEASED_BY))
def test_it_is_refused_when_a_pipeline_would_make_it(name: str) -> None:
    phase = a_phase(environments=None, conditions=RELEASED_BY[name])
    saved = Saved(a_catalogue(a_pipeline(phase)))
    saved.save(a_gate_of("a", [{"type": "public"}]))
    saved.save(a_gate_of("b", on_gate("a")))

    decision = saved.save(a_gate_of("a", [], releasePipelineID="release"))

    assert isinstance(decision, Refusal)
    assert "refers to itself" in decision.message


def test_a_type_that_is_not_known_cannot_even_be_written() -> None:
    with pytest.raises(ValidationError, match="type"):
        a_gate_of("a", [{"type": "moon_phase", "operator": "any", "targetValue": ["full"]}])


@pytest.mark.parametrize("harm", HARMFUL, ids=lambda harm: harm.name)
def test_it_is_refused_before_it_is_published(harm: Harm) -> None:
    specs = SpecSet.model_validate({k: v for k, v in harm.payload.items() if k in SpecSet.model_fields and v})
    graph = {name: references(name, specs) for name in specs.feature_gates}

    errors = [error for name in specs.feature_gates for error in errors_of(name, specs, graph)]

    assert errors


def test_every_harm_is_covered() -> None:
    covered = {*WRITTEN, *RELEASED_BY, *NOT_WRITABLE, "unknown-type"}

    assert covered == {harm.name for harm in HARMFUL}


class Saved:
    """Saved features, as a scheduler knows them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._features: dict[str, Feature] = {}

    def save(self, gate: FeatureGate) -> Decision:
        known = {name: feature_references(feature) for name, feature in self._features.items()}
        catalogue = replace(self._catalogue, references=ReferenceGraph.of(known))
        decision = decide(
            self._features.get(gate.name), SaveFeature(actor="ada", feature=gate), NOW, catalogue
        )
        if isinstance(decision, FeatureEvent):
            self._features[gate.name] = decision.feature
        return decision


def a_gate_of(name: str, conditions: list[dict[str, Any]], **fields: Any) -> FeatureGate:
    rule = {"name": "only", "conditions": conditions}
    return FeatureGate.model_validate({"name": name, "rules": [rule], **fields})


def errors_of(name: str, specs: SpecSet, graph: References) -> list[str]:
    """Return why one gate of a set, as a document of its own, must not be published."""
    targets = {m.new_config_name for m in specs.overrides.get(name, ())}
    own = specs.model_copy(
        update={
            "feature_gates": {n: s for n, s in specs.feature_gates.items() if n == name or n in targets},
            "override_rules": specs.override_rules if targets else {},
        }
    )
    document = RuleDocument(kind=FeatureKind.GATE, name=name, revision=1, event_time_ms=0, specs=own)
    error = reference_error(name, graph[name], graph) if graph[name] else None
    return document_errors(document) + ([error] if error else [])


def references(name: str, specs: SpecSet) -> tuple[str, ...]:
    """Return the gates that a gate of a set refers to, also by its overrides and their rules."""
    mappings = specs.overrides.get(name, ())
    targets = [specs.feature_gates[m.new_config_name] for m in mappings if m.new_config_name != name]
    rules: list[SpecRule] = [rule for spec in (specs.feature_gates[name], *targets) for rule in spec.rules]
    rules += [specs.override_rules[r.rule_name] for m in mappings for r in m.rules]
    ids = [id_ for rule in rules for id_ in rule.conditions]
    conditions = [specs.condition_map[id_] for id_ in ids if id_ in specs.condition_map]
    return tuple(str(c.target_value) for c in conditions if c.type in ("pass_gate", "fail_gate"))
