"""Load a config-spec payload into our evaluator, to compare its answers with those of an official SDK."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from sluiceway.clock import now_ms
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.evaluation.compiled_conditions import ProcessContext, member_key
from sluiceway.evaluation.compiler import compile_specs, unrecognized
from sluiceway.evaluation.nested_gates import Evaluator
from sluiceway.evaluation.outcomes import SpecSource
from sluiceway.evaluation.registry import FeatureRegistry, LazyEvaluator
from sluiceway.evaluation.rule_set import RuleSet
from tests.conformance.payload import Payload


class Loaded:
    """Evaluates by a payload; returns each value with the id of the rule that decided."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules

    def gate(self, user: Mapping[str, Any], name: str) -> tuple[bool, str]:
        """Return whether a user passes a gate, and the rule that decided."""
        answer = self._rules.gate(user, name)
        return bool(answer.value), answer.rule_id

    def config(self, user: Mapping[str, Any], name: str) -> tuple[JsonValue, str]:
        """Return a user's value of a dynamic config, and the rule that decided."""
        answer = self._rules.config(user, name)
        return answer.value, answer.rule_id


def load(
    specs_json: bytes,
    *,
    environment: str | None = None,
    id_lists: Mapping[str, list[str]] | None = None,
    global_custom_fields: Mapping[str, Any] | None = None,
) -> Loaded:
    """Return what evaluates by a payload; `InvalidPayload` if the SDKs refuse it as a whole.

    `id_lists` holds the members in plain text.
    """
    payload = Payload(specs_json)
    process = ProcessContext(
        clock=now_ms,
        environment=payload.default_environment if environment is None else environment,
        custom_fields=global_custom_fields or {},
        app=payload.app,
    )
    rules = RuleSet(process)
    if payload.has_updates:
        lists = {name: frozenset(map(member_key, members)) for name, members in (id_lists or {}).items()}
        rules.registry.id_lists.update(lists)
        _add_specs(payload, process, rules.registry)
    return Loaded(rules)


def _add_specs(payload: Payload, process: ProcessContext, registry: FeatureRegistry) -> None:
    def compiled(key: FeatureKey) -> Evaluator:
        specs = compile_specs(payload.spec_set(*key), process, registry, lambda name: SpecSource())
        return specs.of_kind(key.kind).get(key.name, unrecognized)

    for kind, named in (
        (FeatureKind.GATE, registry.gates),
        (FeatureKind.DYNAMIC_CONFIG, registry.configs),
    ):
        named.update((name, LazyEvaluator(compiled, FeatureKey(kind, name))) for name in payload.names(kind))
