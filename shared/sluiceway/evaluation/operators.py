"""One function per operator: it prepares the target once, and returns what tests a user's values."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import eq, ge, gt, le, lt, ne

from pydantic import JsonValue

from ..contracts.conditions import ConditionOperator
from .list_texts import LIST_TEXTS
from .patterns import matches
from .text_search import contains_any, contains_none
from .times import after, before, on
from .values import distinct_texts, element_text, number, user_text
from .versions import version_comparison

#: Tests a user's value: None (missing), a bool, number, string, list or mapping.
ValueTest = Callable[[object], bool]
#: Prepares a target.
Operator = Callable[[JsonValue], ValueTest]


class UnsupportedOperator(ValueError):
    """This version does not know the operator."""


def compile_test(operator: str, target: JsonValue) -> ValueTest:
    """Return what tests values against `target`; `UnsupportedOperator` for an unknown operator."""
    known = ConditionOperator.parse(operator)
    if known is None:
        raise UnsupportedOperator(f"unknown operator {operator!r}")
    return OPERATORS[known](target)


def any_of(target: JsonValue) -> ValueTest:
    """Equality of the text with one of the target's, ignoring case; a missing text counts as empty."""
    if isinstance(target, Mapping):
        keys = frozenset(target)
    elif isinstance(target, list):
        keys = frozenset(distinct_texts(target))
    else:
        keys = frozenset()
    longest = max(map(len, keys), default=0)  # no text becomes shorter in lower case

    def test(value: object) -> bool:
        text = value if isinstance(value, str) else LIST_TEXTS.text(value) or ""
        return len(text) <= longest and text.lower() in keys

    return test


def any_of_case_sensitive(target: JsonValue) -> ValueTest:
    """Equality of the exact text with one of the target's."""
    texts = frozenset(distinct_texts(target).values()) if isinstance(target, list) else frozenset()
    return lambda value: (LIST_TEXTS.text(value) or "") in texts


def equal(target: JsonValue) -> ValueTest:
    """Equality by the kind of the target."""
    if target is None:
        return lambda value: value is None
    if isinstance(target, bool):
        return lambda value: isinstance(value, bool) and value is target
    if isinstance(target, int | float):
        wanted = number(target)
        return lambda value: (found := number(value)) is not None and found == wanted
    if isinstance(target, str):
        return lambda value: LIST_TEXTS.text(value) == target
    return _equal_array(target) if isinstance(target, list) else _equal_object(target)


def _equal_array(target: Sequence[JsonValue]) -> ValueTest:
    texts = [element_text(element) for element in target]

    def test(value: object) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(value) == len(texts)
            and all(user_text(element) == text for element, text in zip(value, texts, strict=True))
        )

    return test


def _equal_object(target: Mapping[str, JsonValue]) -> ValueTest:
    texts = {key: element_text(value) for key, value in target.items()}

    def test(value: object) -> bool:
        return (
            isinstance(value, Mapping)
            and len(value) == len(texts)
            and all(user_text(value.get(key)) == text for key, text in texts.items())
        )

    return test


def number_comparison(compare: Callable[[float, float], bool]) -> Operator:
    """Return the operator that compares two numbers; numeric strings count, bools never."""

    def operator(target: JsonValue) -> ValueTest:
        limit = number(target)
        if limit is None:
            return lambda value: False
        return lambda value: (found := number(value)) is not None and compare(found, limit)

    return operator


def text_end(finds: Callable[[str, tuple[str, ...]], bool]) -> Operator:
    """Return the operator that compares one end of the user's text with the target's texts, ignoring case."""

    def operator(target: JsonValue) -> ValueTest:
        texts = tuple(distinct_texts(target)) if isinstance(target, list) else ()

        return lambda value: finds(LIST_TEXTS.lowered(value), texts)

    return operator


def array_contains(compare: Callable[[AbstractSet[str], AbstractSet[str]], bool]) -> Operator:
    """Return the operator that compares the elements of a user's array with the target's, by exact text.

    False if either is not an array. An element without a text counts as empty.
    """

    def operator(target: JsonValue) -> ValueTest:
        if not isinstance(target, list):
            return lambda value: False
        wanted = frozenset(distinct_texts(target).values())

        def test(value: object) -> bool:
            if not isinstance(value, list | tuple):
                return False
            return compare(LIST_TEXTS.elements(value), wanted)

        return test

    return operator


def _negated(operator: Operator) -> Operator:
    def negated(target: JsonValue) -> ValueTest:
        test = operator(target)
        return lambda value: not test(value)

    return negated


OPERATORS: Mapping[ConditionOperator, Operator] = {
    ConditionOperator.ANY: any_of,
    ConditionOperator.NONE: _negated(any_of),
    ConditionOperator.ANY_CASE_SENSITIVE: any_of_case_sensitive,
    ConditionOperator.NONE_CASE_SENSITIVE: _negated(any_of_case_sensitive),
    ConditionOperator.STR_STARTS_WITH_ANY: text_end(str.startswith),
    ConditionOperator.STR_ENDS_WITH_ANY: text_end(str.endswith),
    ConditionOperator.STR_CONTAINS_ANY: contains_any,
    ConditionOperator.STR_CONTAINS_NONE: contains_none,
    ConditionOperator.STR_MATCHES: matches,
    ConditionOperator.EQ: equal,
    ConditionOperator.NEQ: _negated(equal),
    ConditionOperator.GT: number_comparison(gt),
    ConditionOperator.GTE: number_comparison(ge),
    ConditionOperator.LT: number_comparison(lt),
    ConditionOperator.LTE: number_comparison(le),
    ConditionOperator.VERSION_GT: version_comparison(gt),
    ConditionOperator.VERSION_GTE: version_comparison(ge),
    ConditionOperator.VERSION_LT: version_comparison(lt),
    ConditionOperator.VERSION_LTE: version_comparison(le),
    ConditionOperator.VERSION_EQ: version_comparison(eq),
    ConditionOperator.VERSION_NEQ: version_comparison(ne),
    ConditionOperator.BEFORE: before,
    ConditionOperator.AFTER: after,
    ConditionOperator.ON: on,
    ConditionOperator.ARRAY_CONTAINS_ANY: array_contains(lambda found, wanted: not wanted.isdisjoint(found)),
    ConditionOperator.ARRAY_CONTAINS_NONE: array_contains(lambda found, wanted: wanted.isdisjoint(found)),
    ConditionOperator.ARRAY_CONTAINS_ALL: array_contains(lambda found, wanted: wanted <= found),
    ConditionOperator.NOT_ARRAY_CONTAINS_ALL: array_contains(lambda found, wanted: not wanted <= found),
}
