"""What is wrong with a condition: what cannot work, and what would harm the processes that evaluate it.

Some conditions harm the official SDKs, which run in other people's processes: they crash, stall or answer
at random. Such conditions are refused here, when they are saved.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from reprlib import repr as short

from pydantic import JsonValue

from ..contracts.conditions import Condition, ConditionOperator, ConditionType
from ..evaluation.patterns import pattern_error, pattern_set_error, slow_text
from ..evaluation.times import parse_time
from ..evaluation.values import element_text, number
from ..evaluation.versions import is_version
from .references import referenced_spec

#: Yields what is wrong with a condition of one type.
TypeCheck = Callable[[Condition], Iterator[str]]
#: Yields what is wrong with a target, for one operator.
TargetCheck = Callable[[ConditionOperator, JsonValue], Iterator[str]]

#: What `time` can be compared by.
TIME_OPERATORS = frozenset({ConditionOperator.AFTER, ConditionOperator.BEFORE})
#: Known, but refused with every target.
REFUSED_OPERATORS = frozenset({ConditionOperator.ON})


def condition_errors(condition: Condition) -> Iterator[str]:
    """Yield everything that is wrong with a condition."""
    yield from TYPE_CHECKS[condition.type](condition)


def patterns_error(conditions: Iterable[Condition]) -> str | None:
    """Return why the patterns of a feature or pipeline are too many, or too large together; else None."""
    targets = {c.target_value for c in conditions if c.operator == ConditionOperator.STR_MATCHES}
    return pattern_set_error(target for target in targets if isinstance(target, str))


def slow_environment_error(conditions: Iterable[Condition], environments: Iterable[str]) -> str | None:
    """Return the first valid pattern that takes long for the name of an environment; None without one.

    Schedulers and publishers decide such a condition for each environment, and all must decide alike.
    """
    for condition in conditions:
        is_decided = condition.type is ConditionType.ENVIRONMENT_TIER
        target = condition.target_value
        if not (
            is_decided and condition.operator == ConditionOperator.STR_MATCHES and isinstance(target, str)
        ):
            continue
        if name := slow_text(target, environments):
            return f"{target!r} takes too long for the environment {name!r}; use fewer repetitions"
    return None


def target_errors(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    """Yield everything that is wrong with a target."""
    yield from TARGET_CHECKS[operator](operator, target)


def _public(condition: Condition) -> Iterator[str]:
    if condition.operator is not None:
        yield f"{condition.type} takes no operator; remove {condition.operator!r}"


def _reference(condition: Condition) -> Iterator[str]:
    yield from _public(condition)
    if not referenced_spec(condition):
        yield f"{condition.type} needs one name as its targetValue"


def _custom_field(condition: Condition) -> Iterator[str]:
    if not condition.field:
        yield "custom_field needs a field"
    yield from _compared(condition)


def _unit_id(condition: Condition) -> Iterator[str]:
    if not condition.custom_id:
        yield "unit_id needs a customID"
    yield from _compared(condition)


def _compared(condition: Condition) -> Iterator[str]:
    yield from _operator_errors(condition, frozenset(ConditionOperator) - REFUSED_OPERATORS)


def _time_compared(condition: Condition) -> Iterator[str]:
    yield from _operator_errors(condition, TIME_OPERATORS)


def _operator_errors(condition: Condition, allowed: frozenset[ConditionOperator]) -> Iterator[str]:
    operator = ConditionOperator.parse(condition.operator)
    known = ", ".join(sorted(allowed))
    if condition.operator is None:
        yield f"{condition.type} needs an operator, one of {known}"
    elif operator is None:
        yield f"unknown operator {condition.operator!r}; use one of {known}"
    elif operator not in allowed | REFUSED_OPERATORS:
        yield f"{condition.type} does not support the operator {condition.operator!r}; use one of {known}"
    else:
        target = condition.target_value
        yield from target_errors(operator, list(target) if isinstance(target, tuple) else target)


def _on(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    yield f"the operator `{operator}` crashes official SDKs for some numbers; use `after` and `before`"


def _texts(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    if not isinstance(target, list):
        yield f"`{operator}` needs a list as its targetValue, not {short(target)}"


def _exact_texts(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    yield from _texts(operator, target)
    if isinstance(target, list):
        yield from _colliding(operator, target)


def _elements(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    if isinstance(target, list) and "" in target:
        yield f'`{operator}`: official SDKs answer at random for "" in a targetValue; remove it'
    yield from _exact_texts(operator, target)


def _equality(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    if isinstance(target, list):
        yield from _colliding(operator, target)
        yield from _duplicates(operator, target)


def _colliding(operator: ConditionOperator, target: list[JsonValue]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for text in map(element_text, target):
        other = seen.setdefault(text.lower(), text)
        if other != text:
            yield f"`{operator}`: {other!r} and {text!r} differ only in case; remove one (official SDKs do)"


def _duplicates(operator: ConditionOperator, target: list[JsonValue]) -> Iterator[str]:
    for text, count in Counter(map(element_text, target)).items():
        if count > 1:
            yield f"`{operator}`: duplicate {text!r} in the targetValue crashes official SDKs; remove one"


def _number(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    if number(target) is None:
        yield f"`{operator}` needs a number as its targetValue, not {short(target)}"


def _version(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    if not isinstance(target, str) or not is_version(target):
        yield f'`{operator}` needs a version such as "1.10.2" as its targetValue, not {short(target)}'


def _time(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    if number(target) is None and not (isinstance(target, str) and parse_time(target) is not None):
        yield (
            f"`{operator}` needs milliseconds since 1970, or a time such as 2026-01-31T12:00:00Z, as its "
            f"targetValue, not {short(target)}"
        )


def _pattern(operator: ConditionOperator, target: JsonValue) -> Iterator[str]:
    if not isinstance(target, str):
        yield f"`{operator}` needs a pattern as its targetValue, not {short(target)}"
    elif error := pattern_error(target):
        yield f"`{operator}`: {error}"


TYPE_CHECKS: Mapping[ConditionType, TypeCheck] = {
    ConditionType.PUBLIC: _public,
    ConditionType.CUSTOM_FIELD: _custom_field,
    ConditionType.USER_ID: _compared,
    ConditionType.EMAIL: _compared,
    ConditionType.COUNTRY: _compared,
    ConditionType.LOCALE: _compared,
    ConditionType.IP_ADDRESS: _compared,
    ConditionType.APP_VERSION: _compared,
    ConditionType.UNIT_ID: _unit_id,
    ConditionType.ENVIRONMENT_TIER: _compared,
    ConditionType.PASSES_GATE: _reference,
    ConditionType.FAILS_GATE: _reference,
    ConditionType.PASSES_SEGMENT: _reference,
    ConditionType.FAILS_SEGMENT: _reference,
    ConditionType.TIME: _time_compared,
}

TARGET_CHECKS: Mapping[ConditionOperator, TargetCheck] = {
    ConditionOperator.ANY: _texts,
    ConditionOperator.NONE: _texts,
    ConditionOperator.ANY_CASE_SENSITIVE: _exact_texts,
    ConditionOperator.NONE_CASE_SENSITIVE: _exact_texts,
    ConditionOperator.STR_STARTS_WITH_ANY: _texts,
    ConditionOperator.STR_ENDS_WITH_ANY: _texts,
    ConditionOperator.STR_CONTAINS_ANY: _texts,
    ConditionOperator.STR_CONTAINS_NONE: _texts,
    ConditionOperator.STR_MATCHES: _pattern,
    ConditionOperator.EQ: _equality,
    ConditionOperator.NEQ: _equality,
    ConditionOperator.GT: _number,
    ConditionOperator.GTE: _number,
    ConditionOperator.LT: _number,
    ConditionOperator.LTE: _number,
    ConditionOperator.VERSION_GT: _version,
    ConditionOperator.VERSION_GTE: _version,
    ConditionOperator.VERSION_LT: _version,
    ConditionOperator.VERSION_LTE: _version,
    ConditionOperator.VERSION_EQ: _version,
    ConditionOperator.VERSION_NEQ: _version,
    ConditionOperator.BEFORE: _time,
    ConditionOperator.AFTER: _time,
    ConditionOperator.ON: _on,
    ConditionOperator.ARRAY_CONTAINS_ANY: _elements,
    ConditionOperator.ARRAY_CONTAINS_NONE: _elements,
    ConditionOperator.ARRAY_CONTAINS_ALL: _elements,
    ConditionOperator.NOT_ARRAY_CONTAINS_ALL: _elements,
}
