"""Condition → what tests a user by it. What can be decided without a user is decided here, once."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import JsonValue

from ..contracts.conditions import ConditionOperator
from ..contracts.rule_document import ListOperator, SpecCondition
from .bucketing import bucket_of
from .list_texts import LIST_TEXTS
from .nested_gates import EvaluationRun, TooDeep
from .operators import ValueTest, compile_test
from .patterns import CHECK_ALLOWANCE, CheckAllowance, matches
from .registry import FeatureRegistry
from .results import Reason
from .text_search import contains_any, contains_none
from .users import PRIORITY_FIELDS, AnyUser, Lookup, custom_field_test, environment_field, unit_id, user_field
from .values import distinct_texts

#: Characters of the digest that stands for a member of an id list.
MEMBER_KEY_LENGTH = 8
TIME_OPERATORS: frozenset[str | None] = frozenset(
    {ConditionOperator.BEFORE, ConditionOperator.AFTER, ConditionOperator.ON}
)
LIST_OPERATORS: frozenset[str] = frozenset(ListOperator)
#: Operators whose searches take from what a check may use.
BOUNDED_OPERATORS: Mapping[str, Callable[[JsonValue, CheckAllowance], ValueTest]] = {
    ConditionOperator.STR_MATCHES: matches,
    ConditionOperator.STR_CONTAINS_ANY: contains_any,
    ConditionOperator.STR_CONTAINS_NONE: contains_none,
}

ConditionTest = Callable[[AnyUser], bool]


@dataclass(frozen=True)
class ProcessContext:
    """What a process contributes to every evaluation."""

    #: Returns the time in milliseconds since 1970.
    clock: Callable[[], int]
    #: The tier of a user without an environment.
    environment: str | None = None
    #: Fields that every user has, unless its own `custom` has them.
    custom_fields: Mapping[str, Any] = field(default_factory=dict)
    #: What a `target_app` condition looks at.
    app: JsonValue = None


def always_true(user: AnyUser) -> bool:
    """Test of the condition `public`."""
    return True


class UnsupportedCondition(ValueError):
    """This version does not know the condition's type or operator."""


class NestedGate(NamedTuple):
    """A condition on another gate."""

    gate: str
    negated: bool


class GroupTest(NamedTuple):
    """A condition on the group that the user gets in an experiment."""

    experiment: str | None
    test: ValueTest


def compile_condition(
    condition: SpecCondition, process: ProcessContext, registry: FeatureRegistry
) -> ConditionTest | NestedGate | GroupTest:
    """Return what tests users; `UnsupportedCondition` for an unknown type or operator."""
    match condition.type:
        case "public":
            return always_true
        case "pass_gate" | "fail_gate":
            name = condition.target_value if isinstance(condition.target_value, str) else ""
            return NestedGate(name, condition.type == "fail_gate")
        case "experiment_group":
            return GroupTest(condition.field, _value_test(condition, registry))
    return _condition_test(condition, process, registry)


def member_key(text: str) -> str:
    """Return the key of a member of an id list."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.b64encode(digest).decode()[:MEMBER_KEY_LENGTH]


def experiment_group(
    experiment: str | None, registry: FeatureRegistry, user: AnyUser, run: EvaluationRun
) -> str | None:
    """Return the user's group in an experiment; None if there is none."""
    entry = registry.configs.get(experiment or "")
    if entry is None:
        return None
    try:
        outcome = run.redirect(entry.evaluate, user)
    except TooDeep:
        run.stop_caching()
        return None
    return None if outcome.evaluation.reason is Reason.UNSUPPORTED else outcome.group


def _condition_test(
    condition: SpecCondition, process: ProcessContext, registry: FeatureRegistry
) -> ConditionTest:
    find = _lookup(condition, process)
    test = _value_test(condition, registry)
    if condition.type == "user_field" and condition.field and condition.field.lower() not in PRIORITY_FIELDS:
        target = condition.target_value
        passing_texts = None
        if condition.operator == ConditionOperator.ANY and isinstance(target, list):
            passing_texts = frozenset(distinct_texts(target))
        return custom_field_test(condition.field, passing_texts, test, find)
    return lambda user: test(find(user))


def _value_test(condition: SpecCondition, registry: FeatureRegistry) -> ValueTest:
    operator = condition.operator or ""
    if operator in LIST_OPERATORS:
        wanted = operator == ListOperator.IN_SEGMENT_LIST
        return _list_test(condition.target_value, registry, wanted=wanted)
    if bounded := BOUNDED_OPERATORS.get(operator):
        return bounded(condition.target_value, CHECK_ALLOWANCE)
    try:
        return compile_test(operator, condition.target_value)
    except ValueError as error:
        raise UnsupportedCondition(str(error)) from error


def _list_test(target: JsonValue, registry: FeatureRegistry, *, wanted: bool) -> ValueTest:
    """Return what tests whether membership in an id list is as `wanted`."""
    if not isinstance(target, str):
        return lambda value: not wanted

    def test(value: object) -> bool:
        members = registry.id_lists.get(target, frozenset())
        text = LIST_TEXTS.text(value)
        return (text is not None and bool(members) and member_key(text) in members) is wanted

    return test


def _lookup(condition: SpecCondition, process: ProcessContext) -> Lookup:
    match condition.type:
        case "user_field" | "ip_based" | "ua_based":
            return user_field(condition.field, process.custom_fields)
        case "environment_field":
            return environment_field(condition.field, process.environment)
        case "unit_id":
            return unit_id(condition.id_type)
        case "user_bucket":
            return _bucket(condition)
        case "current_time":
            # For every other operator the time is missing: it is not a number, and has no text.
            is_time = condition.operator in TIME_OPERATORS
            return (lambda user: process.clock()) if is_time else (lambda user: None)
        case "target_app":
            return lambda user: process.app
    raise UnsupportedCondition(f"unknown condition type {condition.type!r}")


def _bucket(condition: SpecCondition) -> Lookup:
    salt = (condition.additional_values or {}).get("salt", "")
    unit = unit_id(condition.id_type)
    return lambda user: bucket_of(LIST_TEXTS.text(unit(user)) or "", salt)
