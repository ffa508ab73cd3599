"""One function per operator: it prepares the target once, and returns what tests a user's value."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import eq, ge, gt, le, lt, ne

from pydantic import JsonValue

from ..contracts.conditions import ConditionOperator
from .patterns import matches
from .times import after, before, on
from .values import distinct_texts, element_text, number, user_text
from .versions import compared_versions

#: Tests a user's value: None (missing), a bool, number, string, list or mapping.
Test = Callable[[object], bool]
#: Prepares a target.
Prepare = Callable[[JsonValue], Test]


class UnsupportedOperator(ValueError):
    """There is no such operator."""


def compile_test(operator: str, target: JsonValue) -> Test:
    """Return what tests values against `target`; `UnsupportedOperator` for an unknown operator."""
    known = ConditionOperator.parse(operator)
    if known is None:
        raise UnsupportedOperator(f"unknown operator {operator!r}")
    return OPERATORS[known](target)


def any_of(target: JsonValue) -> Test:
    """Equality of the text with one of the target's, case aside; a missing text counts as empty."""
    if isinstance(target, Mapping):
        keys = frozenset(target)
    elif isinstance(target, list):
        keys = frozenset(distinct_texts(target))
    else:
        keys = frozenset()
    return lambda value: (value if value.__class__ is str else user_text(value) or "").lower() in keys


def any_of_case_sensitive(target: JsonValue) -> Test:
    """Equality of the exact text with one of the target's."""
    texts = frozenset(distinct_texts(target).values()) if isinstance(target, list) else frozenset()
    return lambda value: (user_text(value) or "") in texts


def equal(target: JsonValue) -> Test:
    """Equality by the kind of the target."""
    if target is None:
        return lambda value: value is None
    if isinstance(target, bool):
        return lambda value: isinstance(value, bool) and value is target
    if isinstance(target, int | float):
        wanted = number(target)
        return lambda value: (found := number(value)) is not None and found == wanted
    if isinstance(target, str):
        return lambda value: user_text(value) == target
    return _equal_array(target) if isinstance(target, list) else _equal_object(target)


def _equal_array(target: Sequence[JsonValue]) -> Test:
    texts = [element_text(element) for element in target]

    def test(value: object) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(value) == len(texts)
            and all(user_text(one) == text for one, text in zip(value, texts, strict=True))
        )

    return test


def _equal_object(target: Mapping[str, JsonValue]) -> Test:
    texts = {key: element_text(value) for key, value in target.items()}

    def test(value: object) -> bool:
        return (
            isinstance(value, Mapping)
            and len(value) == len(texts)
            and all(user_text(value.get(key)) == text for key, text in texts.items())
        )

    return test


def compared_numbers(compare: Callable[[float, float], bool]) -> Prepare:
    """Return the operator that compares two numbers; numeric strings count, bools never."""

    def prepare(target: JsonValue) -> Test:
        limit = number(target)
        if limit is None:
            return lambda value: False
        return lambda value: (found := number(value)) is not None and compare(found, limit)

    return prepare


def searched(finds: Callable[[str, str], bool]) -> Prepare:
    """Return the operator that looks for one of the target's texts in the user's, case aside."""

    def prepare(target: JsonValue) -> Test:
        texts = tuple(distinct_texts(target)) if isinstance(target, list) else ()

        def test(value: object) -> bool:
            text = (user_text(value) or "").lower()
            return any(finds(text, wanted) for wanted in texts)

        return test

    return prepare


def array_contains(verdict: Callable[[AbstractSet[str], AbstractSet[str]], bool]) -> Prepare:
    """Return the operator that compares the elements of a user's array with the target's, by exact text.

    False where either is no array. An element without a text counts as empty.
    """

    def prepare(target: JsonValue) -> Test:
        if not isinstance(target, list):
            return lambda value: False
        wanted = frozenset(distinct_texts(target).values())

        def test(value: object) -> bool:
            if not isinstance(value, list | tuple):
                return False
            return verdict({user_text(element) or "" for element in value}, wanted)

        return test

    return prepare


def _negated(prepare: Prepare) -> Prepare:
    def negated(target: JsonValue) -> Test:
        test = prepare(target)
        return lambda value: not test(value)

    return negated


_contains_any = searched(str.__contains__)

OPERATORS: Mapping[ConditionOperator, Prepare] = {
    ConditionOperator.ANY: any_of,
    ConditionOperator.NONE: _negated(any_of),
    ConditionOperator.ANY_CASE_SENSITIVE: any_of_case_sensitive,
    ConditionOperator.NONE_CASE_SENSITIVE: _negated(any_of_case_sensitive),
    ConditionOperator.STR_STARTS_WITH_ANY: searched(str.startswith),
    ConditionOperator.STR_ENDS_WITH_ANY: searched(str.endswith),
    ConditionOperator.STR_CONTAINS_ANY: _contains_any,
    ConditionOperator.STR_CONTAINS_NONE: _negated(_contains_any),
    ConditionOperator.STR_MATCHES: matches,
    ConditionOperator.EQ: equal,
    ConditionOperator.NEQ: _negated(equal),
    ConditionOperator.GT: compared_numbers(gt),
    ConditionOperator.GTE: compared_numbers(ge),
    ConditionOperator.LT: compared_numbers(lt),
    ConditionOperator.LTE: compared_numbers(le),
    ConditionOperator.VERSION_GT: compared_versions(gt),
    ConditionOperator.VERSION_GTE: compared_versions(ge),
    ConditionOperator.VERSION_LT: compared_versions(lt),
    ConditionOperator.VERSION_LTE: compared_versions(le),
    ConditionOperator.VERSION_EQ: compared_versions(eq),
    ConditionOperator.VERSION_NEQ: compared_versions(ne),
    ConditionOperator.BEFORE: before,
    ConditionOperator.AFTER: after,
    ConditionOperator.ON: on,
    ConditionOperator.ARRAY_CONTAINS_ANY: array_contains(lambda found, wanted: not wanted.isdisjoint(found)),
    ConditionOperator.ARRAY_CONTAINS_NONE: array_contains(lambda found, wanted: wanted.isdisjoint(found)),
    ConditionOperator.ARRAY_CONTAINS_ALL: array_contains(lambda found, wanted: wanted <= found),
    ConditionOperator.NOT_ARRAY_CONTAINS_ALL: array_contains(lambda found, wanted: not wanted <= found),
}
