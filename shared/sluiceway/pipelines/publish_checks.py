"""What is looked at once more before rules are published: what was saved long ago, or by two at once."""

from collections.abc import Iterator

from ..contracts.feature import Feature
from ..contracts.rule_document import RuleDocument, SpecCondition, SpecRule
from ..evaluation.condition_tests import IN_LIST
from ..evaluation.operators import OPERATORS
from .condition_errors import target_errors
from .references import References, feature_references, reference_error

#: A message of NATS holds a megabyte; headers and the key need room as well.
DOCUMENT_BYTES_MAX = 1_000_000

#: Condition types that the official SDKs and ours evaluate alike.
KNOWN_TYPES = frozenset(
    {"public", "user_field", "environment_field", "unit_id", "current_time", "pass_gate", "fail_gate"}
)
BARE = frozenset({"public", "pass_gate", "fail_gate"})


def document_errors(document: RuleDocument) -> list[str]:
    """Return why a document must not be published; empty where it may."""
    faults = [fault for rule in _rules(document) for fault in _rule_errors(rule, document)]
    for id_, condition in document.specs.condition_map.items():
        faults += (f"condition {id_}: {fault}" for fault in _condition_errors(condition))
    named = {**document.specs.feature_gates, **document.specs.dynamic_configs}
    for name, mappings in document.specs.overrides.items():
        for target in (mapping.new_config_name for mapping in mappings):
            if target not in named or target in document.specs.overrides:
                faults.append(f"override of {name}: {target!r} is no spec that answers by itself")
    if (size := len(document.to_json())) > DOCUMENT_BYTES_MAX:
        faults.append(f"it has {size} bytes, at most {DOCUMENT_BYTES_MAX} are allowed")
    return faults


def feature_errors_now(feature: Feature, known: References) -> list[str]:
    """Return why a feature must not be published beside what it refers to now."""
    own = feature_references(feature)
    fault = reference_error(feature.key.spec_name, own, known) if own else None
    return [fault] if fault else []


def _rules(document: RuleDocument) -> Iterator[SpecRule]:
    for spec in (*document.specs.feature_gates.values(), *document.specs.dynamic_configs.values()):
        yield from spec.rules
    yield from document.specs.override_rules.values()


def _rule_errors(rule: SpecRule, document: RuleDocument) -> Iterator[str]:
    for id_ in rule.conditions:
        if id_ not in document.specs.condition_map:
            yield f"rule {rule.name!r}: there is no condition {id_!r}"


def _condition_errors(condition: SpecCondition) -> Iterator[str]:
    if condition.type not in KNOWN_TYPES:
        yield f"unknown type {condition.type!r}"
    elif condition.type in BARE or condition.operator in IN_LIST:
        return
    elif condition.operator is None or condition.operator not in OPERATORS:
        yield f"unknown operator {condition.operator!r}"
    else:
        yield from target_errors(condition.operator, condition.target_value)
