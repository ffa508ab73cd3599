"""Condition → what tests a user by it. What can be decided without a user is decided here, once."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import JsonValue

from ..contracts.rule_document import SpecCondition
from .bucketing import bucket_of
from .nested_gates import EvaluationRun, LazyEvaluator, TooDeep
from .operators import Test, compile_test
from .results import Reason
from .users import FIRST, AnyUser, Lookup, environment_field, in_custom, unit_id, user_field
from .values import distinct_texts, user_text

#: Characters of the digest that stands for a member of an id list.
MEMBER_KEY_LENGTH = 8
TIME_OPERATORS = frozenset({"before", "after", "on"})
IN_LIST = ("in_segment_list", "not_in_segment_list")

ConditionTest = Callable[[AnyUser], bool]


@dataclass(frozen=True)
class Host:
    """What a process knows beside the user."""

    #: Returns the time in milliseconds since 1970.
    clock: Callable[[], int]
    #: The tier that a user without an environment is in.
    environment: str | None = None
    #: Fields that every user has, unless its own `custom` has them.
    custom_fields: Mapping[str, Any] = field(default_factory=dict)
    #: What a `target_app` condition looks at.
    app: JsonValue = None


@dataclass
class Library:
    """Everything that rules may refer to by name, as it is now."""

    gates: dict[str, LazyEvaluator] = field(default_factory=dict)
    configs: dict[str, LazyEvaluator] = field(default_factory=dict)
    #: List → the keys of its members (`member_key`).
    id_lists: dict[str, frozenset[str]] = field(default_factory=dict)


def everyone(user: AnyUser) -> bool:
    """Test nobody."""
    return True


class UnsupportedCondition(ValueError):
    """There is no such condition or operator."""


class NestedGate(NamedTuple):
    """A condition on another gate."""

    gate: str
    negated: bool


class GroupTest(NamedTuple):
    """A condition on the group that the user gets in an experiment."""

    experiment: str | None
    test: Test


def compile_condition(
    condition: SpecCondition, host: Host, library: Library
) -> ConditionTest | NestedGate | GroupTest:
    """Return what tests users; `UnsupportedCondition` for what this version does not know."""
    match condition.type:
        case "public":
            return everyone
        case "pass_gate" | "fail_gate":
            name = condition.target_value if isinstance(condition.target_value, str) else ""
            return NestedGate(name, condition.type == "fail_gate")
        case "experiment_group":
            return GroupTest(condition.field, _test(condition, library))
    return _tested(condition, host, library)


def member_key(text: str) -> str:
    """Return what stands for a value in an id list."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.b64encode(digest).decode()[:MEMBER_KEY_LENGTH]


def group_of(experiment: str | None, library: Library, user: AnyUser, run: EvaluationRun) -> str | None:
    """Return the user's group in an experiment; None without one."""
    entry = library.configs.get(experiment or "")
    if entry is None:
        return None
    try:
        verdict = run.hop(entry.evaluate, user)
    except TooDeep:
        run.hide_failure()
        return None
    return None if verdict.evaluation.reason is Reason.UNSUPPORTED else verdict.group


def _tested(condition: SpecCondition, host: Host, library: Library) -> ConditionTest:
    find = _lookup(condition, host)
    test = _test(condition, library)
    if condition.type == "user_field" and condition.field and condition.field.lower() not in FIRST:
        target = condition.target_value
        keys = None
        if condition.operator == "any" and isinstance(target, list):
            keys = frozenset(distinct_texts(target))
        return in_custom(condition.field, keys, test, find)
    return lambda user: test(find(user))


def _test(condition: SpecCondition, library: Library) -> Test:
    operator = condition.operator or ""
    if operator in IN_LIST:
        return _in_list(condition.target_value, library, wanted=operator == IN_LIST[0])
    try:
        return compile_test(operator, condition.target_value)
    except ValueError as error:
        raise UnsupportedCondition(str(error)) from error


def _in_list(target: JsonValue, library: Library, *, wanted: bool) -> Test:
    if not isinstance(target, str):
        return lambda value: not wanted

    def test(value: object) -> bool:
        members = library.id_lists.get(target, frozenset())
        text = user_text(value)
        return (text is not None and bool(members) and member_key(text) in members) is wanted

    return test


def _lookup(condition: SpecCondition, host: Host) -> Lookup:
    match condition.type:
        case "user_field" | "ip_based" | "ua_based":
            return user_field(condition.field, host.custom_fields)
        case "environment_field":
            return environment_field(condition.field, host.environment)
        case "unit_id":
            return unit_id(condition.id_type)
        case "user_bucket":
            return _bucket(condition)
        case "current_time":
            # The time is no number and has no text: every other operator finds it missing.
            is_time = condition.operator in TIME_OPERATORS
            return (lambda user: host.clock()) if is_time else (lambda user: None)
        case "target_app":
            return lambda user: host.app
    raise UnsupportedCondition(f"unknown condition type {condition.type!r}")


def _bucket(condition: SpecCondition) -> Lookup:
    salt = (condition.additional_values or {}).get("salt", "")
    unit = unit_id(condition.id_type)
    return lambda user: bucket_of(user_text(unit(user)) or "", salt)
