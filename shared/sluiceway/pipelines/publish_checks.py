"""What is checked again before rules are published.

A feature may have been saved long ago, or at the same moment as another one that it refers to.
"""

from collections.abc import Iterator

from ..contracts.conditions import ConditionOperator
from ..contracts.json_depth import depth_error
from ..contracts.rule_document import RuleDocument, SpecCondition, SpecRule
from ..evaluation.compiled_conditions import LIST_OPERATORS
from ..evaluation.patterns import patterns_error
from .condition_errors import target_errors
from .message_limits import DOCUMENT_BYTES_MAX
from .reference_graph import References
from .references import evaluation_error

#: Condition types that refer to another spec.
REFERRING_TYPES = frozenset({"pass_gate", "fail_gate"})
#: Condition types that take no operator.
TYPES_WITHOUT_OPERATOR = REFERRING_TYPES | {"public"}
#: Condition types that the official SDKs and our evaluator evaluate alike.
KNOWN_TYPES = TYPES_WITHOUT_OPERATOR | {"user_field", "environment_field", "unit_id", "current_time"}


def document_errors(document: RuleDocument, bytes_max: int = DOCUMENT_BYTES_MAX) -> list[str]:
    """Return why a document must not be published; empty if it may be."""
    return [
        *_spec_errors(document),
        *_depth_errors(document),
        *_override_errors(document),
        *size_errors(document, bytes_max),
    ]


def document_references(document: RuleDocument) -> tuple[str, ...]:
    """Return the specs that a document refers to, once for each reference."""
    conditions = (
        document.specs.condition_map.get(id_) for rule in _rules(document) for id_ in rule.conditions
    )
    return tuple(
        str(condition.target_value)
        for condition in conditions
        if condition and condition.type in REFERRING_TYPES
    )


def evaluation_errors(document: RuleDocument, known: References) -> list[str]:
    """Return why a document must not be published beside the features that are `known`.

    It may refer to a feature that does not exist: SDKs evaluate that as false.
    """
    own = document_references(document)
    error = evaluation_error(document.spec_name, own, known) if own else None
    return [error] if error else []


def _spec_errors(document: RuleDocument) -> Iterator[str]:
    for rule in _rules(document):
        for id_ in rule.conditions:
            if id_ not in document.specs.condition_map:
                yield f"rule {rule.name!r}: condition {id_!r} does not exist"
    if error := patterns_error(document.specs):
        yield error
        return
    for id_, condition in document.specs.condition_map.items():
        for error in _condition_errors(condition):
            yield f"condition {id_}: {error}"


def _depth_errors(document: RuleDocument) -> Iterator[str]:
    for name, spec in {**document.specs.feature_gates, **document.specs.dynamic_configs}.items():
        for value in (spec.default_value, *(rule.return_value for rule in spec.rules)):
            if error := depth_error(f"a value of {name}", value):
                yield error


def _rules(document: RuleDocument) -> Iterator[SpecRule]:
    for spec in (*document.specs.feature_gates.values(), *document.specs.dynamic_configs.values()):
        yield from spec.rules
    yield from document.specs.override_rules.values()


def _condition_errors(condition: SpecCondition) -> Iterator[str]:
    if condition.type not in KNOWN_TYPES:
        yield f"unknown type {condition.type!r}"
    elif condition.type in TYPES_WITHOUT_OPERATOR or condition.operator in LIST_OPERATORS:
        return
    elif (operator := ConditionOperator.parse(condition.operator)) is None:
        yield f"unknown operator {condition.operator!r}"
    else:
        yield from target_errors(operator, condition.target_value)


def _override_errors(document: RuleDocument) -> Iterator[str]:
    overrides = document.specs.overrides
    named = {**document.specs.feature_gates, **document.specs.dynamic_configs}
    for name, mappings in overrides.items():
        for target in (mapping.new_config_name for mapping in mappings):
            if target not in named:
                yield f"override of {name}: spec {target!r} does not exist"
            elif target in overrides:
                yield f"override of {name}: spec {target!r} is itself overridden"


def size_errors(document: RuleDocument, bytes_max: int) -> Iterator[str]:
    """Yield that a document is too large for a message, with its size."""
    if (size := len(document.to_json())) > bytes_max:
        yield f"the rule document has {size} bytes; at most {bytes_max} are allowed"
