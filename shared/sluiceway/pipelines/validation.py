"""What is refused when it is saved: each fault is a sentence that says where and what to do."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from ..contracts.conditions import Condition, ConditionType
from ..contracts.feature import DynamicConfig, FeatureGate
from ..contracts.pipeline import Pipeline
from ..evaluation.operators import OPERATORS
from .projection import rule_id


def feature_faults(document: FeatureGate | DynamicConfig, environments: Collection[str]) -> list[str]:
    """Return what is wrong with a gate or config; empty where nothing is."""
    faults = [
        f"rule id {id_!r} stands {count} times; give each rule an id of its own"
        for id_, count in Counter(rule_id(rule) for rule in document.rules).items()
        if count > 1
    ]
    for rule in document.rules:
        faults += _rule_faults(f"rule {rule.name!r}", rule.environments, rule.conditions, environments)
    return faults


def pipeline_faults(pipeline: Pipeline, environments: Collection[str]) -> list[str]:
    """Return what is wrong with a pipeline; empty where nothing is."""
    faults: list[str] = []
    for phase in pipeline.phases:
        for rule in phase.rules:
            where = f"phase {phase.id!r}, rule {rule.name!r}"
            faults += _rule_faults(where, rule.environments, rule.conditions, environments)
    return faults


def _rule_faults(
    where: str,
    named: Sequence[str] | None,
    conditions: Sequence[Condition],
    environments: Collection[str],
) -> Iterator[str]:
    for name in named or ():
        if name not in environments:
            known = ", ".join(sorted(environments)) or "none yet"
            yield f"{where}: there is no environment {name!r} (known: {known})"
    for index, condition in enumerate(conditions):
        for fault in _condition_faults(condition):
            yield f"{where}, condition {index + 1}: {fault}"


def _condition_faults(condition: Condition) -> Iterator[str]:
    if condition.type is ConditionType.PUBLIC:
        return
    if condition.operator is None:
        yield f"{condition.type} needs an operator, one of {', '.join(sorted(OPERATORS))}"
    elif condition.operator not in OPERATORS:
        yield f"unknown operator {condition.operator!r}; use one of {', '.join(sorted(OPERATORS))}"
    if condition.type is ConditionType.CUSTOM_FIELD and not condition.field:
        yield "custom_field needs a field"
    if condition.type is ConditionType.UNIT_ID and not condition.custom_id:
        yield "unit_id needs a customID"
