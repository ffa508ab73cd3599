"""Describes rules, and the changes between two versions, as text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sluiceway.contracts.conditions import Condition, ConditionOperator, ConditionType
from sluiceway.contracts.feature import ConfigRule, FeatureRule, Spec
from sluiceway.contracts.pipeline import PhaseRule
from sluiceway.pipelines.references import GATE_REFERENCES, SEGMENT_REFERENCES

#: How each operator reads between what is looked at and the target.
OPERATOR_WORDS: Mapping[ConditionOperator, str] = {
    ConditionOperator.ANY: "is one of",
    ConditionOperator.NONE: "is none of",
    ConditionOperator.ANY_CASE_SENSITIVE: "is exactly one of",
    ConditionOperator.NONE_CASE_SENSITIVE: "is exactly none of",
    ConditionOperator.STR_STARTS_WITH_ANY: "starts with one of",
    ConditionOperator.STR_ENDS_WITH_ANY: "ends with one of",
    ConditionOperator.STR_CONTAINS_ANY: "contains one of",
    ConditionOperator.STR_CONTAINS_NONE: "contains none of",
    ConditionOperator.STR_MATCHES: "matches",
    ConditionOperator.EQ: "is",
    ConditionOperator.NEQ: "is not",
    ConditionOperator.GT: "is more than",
    ConditionOperator.GTE: "is at least",
    ConditionOperator.LT: "is less than",
    ConditionOperator.LTE: "is at most",
    ConditionOperator.VERSION_GT: "is newer than",
    ConditionOperator.VERSION_GTE: "is at least version",
    ConditionOperator.VERSION_LT: "is older than",
    ConditionOperator.VERSION_LTE: "is at most version",
    ConditionOperator.VERSION_EQ: "is version",
    ConditionOperator.VERSION_NEQ: "is not version",
    ConditionOperator.BEFORE: "is before",
    ConditionOperator.AFTER: "is after",
    ConditionOperator.ON: "is on the day",
    ConditionOperator.ARRAY_CONTAINS_ANY: "has one of",
    ConditionOperator.ARRAY_CONTAINS_NONE: "has none of",
    ConditionOperator.ARRAY_CONTAINS_ALL: "has all of",
    ConditionOperator.NOT_ARRAY_CONTAINS_ALL: "lacks one of",
}
#: What each condition type looks at; with `REFERENCES`, the whole test but its target.
TYPE_WORDS: Mapping[ConditionType, str] = {
    ConditionType.PUBLIC: "everyone",
    ConditionType.CUSTOM_FIELD: "custom field",
    ConditionType.USER_ID: "user id",
    ConditionType.EMAIL: "email",
    ConditionType.COUNTRY: "country",
    ConditionType.LOCALE: "locale",
    ConditionType.IP_ADDRESS: "ip address",
    ConditionType.APP_VERSION: "app version",
    ConditionType.UNIT_ID: "unit id",
    ConditionType.ENVIRONMENT_TIER: "environment tier",
    ConditionType.PASSES_GATE: "passes gate",
    ConditionType.FAILS_GATE: "fails gate",
    ConditionType.PASSES_SEGMENT: "is in segment",
    ConditionType.FAILS_SEGMENT: "is not in segment",
    ConditionType.TIME: "time",
}
#: Types whose target is another feature; they have no operator.
REFERENCES = GATE_REFERENCES | SEGMENT_REFERENCES


def describe_condition(condition: Condition) -> str:
    """Return one test, for example `region is one of us-west`."""
    words = TYPE_WORDS[condition.type]
    if condition.type is ConditionType.PUBLIC:
        return words
    if condition.type in REFERENCES:
        return f"{words} {_listed(condition.target_value)}"
    subject = condition.field or condition.custom_id or words
    return f"{subject} {_operator_words(condition.operator)} {_listed(condition.target_value)}"


def _operator_words(operator: str | None) -> str:
    """Return how an operator reads; one that this version does not know as it is spelled."""
    known = ConditionOperator.parse(operator or ConditionOperator.ANY)
    return OPERATOR_WORDS[known] if known else str(operator).replace("_", " ")


def describe_segment(rule: PhaseRule | FeatureRule) -> str:
    """Return whom a rule covers: users for whom all its conditions hold, in its environments."""
    tests = [describe_condition(c) for c in rule.conditions if c.type is not ConditionType.PUBLIC]
    where = f" in {_listed(rule.environments)}" if rule.environments else ""
    return f"{' and '.join(tests) or 'everyone'}{where}"


def describe_rule(rule: FeatureRule) -> str:
    """Return whom a rule of a feature covers, and what they get."""
    share = "" if rule.pass_percentage == 100 else f", {rule.pass_percentage:g} % of them"
    value = f": {_json(rule.return_value)}" if isinstance(rule, ConfigRule) else ""
    return f"{describe_segment(rule)}{share}{value}"


def describe_change(before: Spec | None, after: Spec | None) -> list[str]:
    """Return a sentence for each difference; a single one if there is none."""
    if after is None:
        return ["it is removed from every region"]
    if before is None:
        return ["it is new", *(f"rule {rule.name}: {describe_rule(rule)}" for rule in after.rules)]
    changes = [*_fields(before, after), *_rules(before.rules, after.rules)]
    return changes or ["nothing changes for anybody"]


def _fields(before: Spec, after: Spec) -> Iterable[str]:
    if before.is_enabled != after.is_enabled:
        yield "it is switched on" if after.is_enabled else "it is switched off"
    if before.id_type != after.id_type:
        yield f"percentages count {after.id_type} instead of {before.id_type}"
    if before.description != after.description:
        yield "its description changes"
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
        yield "the order of the rules changes"


def _values(subject: str, before: dict[str, Any], after: dict[str, Any]) -> Iterable[str]:
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"{subject} no longer has {name} (it was {_json(before[name])})"
        elif name not in before:
            yield f"{subject} also has {name}: {_json(after[name])}"
        elif before[name] != after[name]:
            yield f"{subject} has {name} {_json(after[name])} instead of {_json(before[name])}"


def _listed(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
