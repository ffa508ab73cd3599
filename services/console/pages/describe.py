"""Rules, and the changes between two versions, in plain English."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sluiceway.contracts.conditions import Condition, ConditionType
from sluiceway.contracts.feature import ConfigRule, FeatureRule, Spec
from sluiceway.contracts.pipeline import PhaseRule

#: The words for each operator, between the field and the value.
OPERATORS = {
    "any": "is one of",
    "none": "is none of",
    "any_case_sensitive": "is exactly one of",
    "none_case_sensitive": "is exactly none of",
    "eq": "is",
    "neq": "is not",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "str_contains_any": "contains one of",
    "str_contains_none": "contains none of",
    "str_starts_with_any": "starts with one of",
    "str_ends_with_any": "ends with one of",
    "str_matches": "matches",
    "version_eq": "is version",
    "version_neq": "is not version",
    "version_gt": "is newer than",
    "version_gte": "is at least version",
    "version_lt": "is older than",
    "version_lte": "is at most version",
    "before": "is before",
    "after": "is after",
    "on": "is on the day",
}
RELATIONS = {
    ConditionType.PASSES_GATE: "passes gate",
    ConditionType.FAILS_GATE: "fails gate",
    ConditionType.PASSES_SEGMENT: "is in segment",
    ConditionType.FAILS_SEGMENT: "is not in segment",
}


def describe_condition(condition: Condition) -> str:
    """Return one condition, for example `region is one of us-west`."""
    if condition.type is ConditionType.PUBLIC:
        return "everyone"
    if condition.type in RELATIONS:
        return f"{RELATIONS[condition.type]} {_listed(condition.target_value)}"
    subject = condition.field or condition.custom_id or condition.type.replace("_", " ")
    operator = condition.operator or "is one of"
    return (
        f"{subject} {OPERATORS.get(operator, operator.replace('_', ' '))} {_listed(condition.target_value)}"
    )


def describe_segment(rule: PhaseRule | FeatureRule) -> str:
    """Return the users that a rule covers: all its conditions, in one of its environments."""
    tests = [describe_condition(c) for c in rule.conditions if c.type is not ConditionType.PUBLIC]
    where = f" in {_listed(rule.environments)}" if rule.environments else ""
    return f"{' and '.join(tests) or 'everyone'}{where}"


def describe_rule(rule: FeatureRule) -> str:
    """Return which users a rule of a feature covers, and which value they get."""
    share = "" if rule.pass_percentage == 100 else f", {rule.pass_percentage:g} % of them"
    value = f": {_json(rule.return_value)}" if isinstance(rule, ConfigRule) else ""
    return f"{describe_segment(rule)}{share}{value}"


def describe_change(before: Spec | None, after: Spec | None) -> list[str]:
    """Return one line for each change; one line that says so if nothing has changed."""
    if after is None:
        return ["it is removed from every region"]
    if before is None:
        return ["it is new", *(f"rule {rule.name}: {describe_rule(rule)}" for rule in after.rules)]
    changes = [*_fields(before, after), *_rules(before.rules, after.rules)]
    return changes or ["nothing has changed"]


def _fields(before: Spec, after: Spec) -> Iterable[str]:
    if before.is_enabled != after.is_enabled:
        yield "it is switched on" if after.is_enabled else "it is switched off"
    if before.id_type != after.id_type:
        yield f"percentages count {after.id_type} instead of {before.id_type}"
    if before.description != after.description:
        yield "its description has changed"
    if before.ids != after.ids:
        yield f"it lists {len(after.ids)} ids instead of {len(before.ids)}"
    if isinstance(before.default_value, dict) and isinstance(after.default_value, dict):
        yield from _values("the default", before.default_value, after.default_value)


def _rules(before: Sequence[FeatureRule], after: Sequence[FeatureRule]) -> Iterable[str]:
    old, new = ({rule.id or rule.name: rule for rule in rules} for rules in (before, after))
    yield from (
        f"rule {rule.name} is removed: {describe_rule(rule)}" for id_, rule in old.items() if id_ not in new
    )
    for id_, rule in new.items():
        if id_ not in old:
            yield f"rule {rule.name} is added: {describe_rule(rule)}"
        elif rule != old[id_]:
            yield f"rule {rule.name}: {describe_rule(rule)}; it was {describe_rule(old[id_])}"
    kept = [id_ for id_ in old if id_ in new]
    if kept != [id_ for id_ in new if id_ in old]:
        yield "the order of the rules has changed"


def _values(subject: str, before: dict[str, Any], after: dict[str, Any]) -> Iterable[str]:
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"{subject} loses {name} (was {_json(before[name])})"
        elif name not in before:
            yield f"{subject} gains {name}: {_json(after[name])}"
        elif before[name] != after[name]:
            yield f"{subject} has {name} {_json(after[name])} instead of {_json(before[name])}"


def _listed(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
