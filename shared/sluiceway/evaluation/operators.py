"""One function per operator: it prepares the target once, and returns what tests a user's value."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import eq, ge, gt, le, lt, ne

from pydantic import JsonValue

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
    try:
        prepare = OPERATORS[operator]
    except KeyError:
        raise UnsupportedOperator(f"unknown operator {operator!r}") from None
    return prepare(target)


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

OPERATORS: Mapping[str, Prepare] = {
    "any": any_of,
    "none": _negated(any_of),
    "any_case_sensitive": any_of_case_sensitive,
    "none_case_sensitive": _negated(any_of_case_sensitive),
    "str_starts_with_any": searched(str.startswith),
    "str_ends_with_any": searched(str.endswith),
    "str_contains_any": _contains_any,
    "str_contains_none": _negated(_contains_any),
    "str_matches": matches,
    "eq": equal,
    "neq": _negated(equal),
    "gt": compared_numbers(gt),
    "gte": compared_numbers(ge),
    "lt": compared_numbers(lt),
    "lte": compared_numbers(le),
    "version_gt": compared_versions(gt),
    "version_gte": compared_versions(ge),
    "version_lt": compared_versions(lt),
    "version_lte": compared_versions(le),
    "version_eq": compared_versions(eq),
    "version_neq": compared_versions(ne),
    "before": before,
    "after": after,
    "on": on,
    "array_contains_any": array_contains(lambda found, wanted: not wanted.isdisjoint(found)),
    "array_contains_none": array_contains(lambda found, wanted: wanted.isdisjoint(found)),
    "array_contains_all": array_contains(lambda found, wanted: wanted <= found),
    "not_array_contains_all": array_contains(lambda found, wanted: not wanted <= found),
}
