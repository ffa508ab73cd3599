"""One function per operator: it prepares the target once, and returns what tests a user's value."""

from collections.abc import Callable, Mapping, Sequence
from operator import ge, gt, le, lt

from pydantic import JsonValue

from .values import distinct_texts, element_text, number, user_text

#: Tests a user's value: None (missing), a bool, number, string, list or mapping.
Test = Callable[[object], bool]


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
    return lambda value: (user_text(value) or "").lower() in keys


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


def _compared(compare: Callable[[float, float], bool]) -> Callable[[JsonValue], Test]:
    """Return the operator that compares two numbers; numeric strings count, bools never."""

    def prepare(target: JsonValue) -> Test:
        limit = number(target)
        if limit is None:
            return lambda value: False
        return lambda value: (found := number(value)) is not None and compare(found, limit)

    return prepare


def _negated(prepare: Callable[[JsonValue], Test]) -> Callable[[JsonValue], Test]:
    def negated(target: JsonValue) -> Test:
        test = prepare(target)
        return lambda value: not test(value)

    return negated


OPERATORS: Mapping[str, Callable[[JsonValue], Test]] = {
    "any": any_of,
    "none": _negated(any_of),
    "any_case_sensitive": any_of_case_sensitive,
    "none_case_sensitive": _negated(any_of_case_sensitive),
    "eq": equal,
    "neq": _negated(equal),
    "gt": _compared(gt),
    "gte": _compared(ge),
    "lt": _compared(lt),
    "lte": _compared(le),
}
