"""What is wrong with a condition: what cannot work, and what would harm whoever evaluates it.

Some rules do harm in the official SDKs, which are in other people's processes: a crash, a stall, an
answer by chance. They are refused here, and nowhere later explained away.
"""

from collections.abc import Callable, Iterator, Mapping

from pydantic import JsonValue

from ..contracts.conditions import Condition, ConditionType
from ..evaluation.operators import OPERATORS
from ..evaluation.patterns import pattern_error
from ..evaluation.times import parse_time
from ..evaluation.values import element_text, number
from ..evaluation.versions import is_version
from .references import GATE_REFERENCES, SEGMENT_REFERENCES, referenced_spec

TIME_OPERATORS = ("after", "before")
#: Take no operator.
BARE = GATE_REFERENCES | SEGMENT_REFERENCES | {ConditionType.PUBLIC}


def condition_errors(condition: Condition) -> Iterator[str]:
    """Give every fault of a condition, as a sentence that says what to do."""
    if condition.type in BARE:
        if condition.operator is not None:
            yield f"{condition.type} takes no operator; leave {condition.operator!r} out"
        if condition.type is not ConditionType.PUBLIC and not referenced_spec(condition):
            yield f"{condition.type} needs one name as its targetValue"
        return
    if condition.type is ConditionType.CUSTOM_FIELD and not condition.field:
        yield "custom_field needs a field"
    if condition.type is ConditionType.UNIT_ID and not condition.custom_id:
        yield "unit_id needs a customID"
    yield from _operator_errors(condition)


def target_errors(operator: str, target: JsonValue) -> Iterator[str]:
    """Give every fault of a target, for an operator that there is."""
    if operator == "on":
        yield "`on` ends the processes of official SDKs for some numbers; use `after` and `before`"
    elif check := _TARGETS.get(operator):
        yield from check(operator, target)


def _operator_errors(condition: Condition) -> Iterator[str]:
    operator = condition.operator
    possible = sorted(TIME_OPERATORS if condition.type is ConditionType.TIME else OPERATORS.keys() - {"on"})
    if operator is None:
        yield f"{condition.type} needs an operator, one of {', '.join(possible)}"
    elif operator not in possible and operator != "on":
        yield f"unknown operator {operator!r}; use one of {', '.join(possible)}"
    else:
        target = condition.target_value
        yield from target_errors(operator, list(target) if isinstance(target, tuple) else target)


def _text_array(operator: str, target: JsonValue) -> Iterator[str]:
    if not isinstance(target, list):
        yield f"`{operator}` needs a list as its targetValue"
    elif operator.endswith("case_sensitive"):
        yield from _colliding(operator, target)


def _array(operator: str, target: JsonValue) -> Iterator[str]:
    if not isinstance(target, list):
        yield f"`{operator}` needs a list as its targetValue"
        return
    if "" in target:
        yield f'`{operator}` with "" in its targetValue is answered by chance in official SDKs; leave it out'
    yield from _colliding(operator, target)


def _equality(operator: str, target: JsonValue) -> Iterator[str]:
    if isinstance(target, list):
        yield from _colliding(operator, target)


def _colliding(operator: str, target: list[JsonValue]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for text in map(element_text, target):
        other = seen.get(text.lower())
        if other is not None and other != text:
            yield f"`{operator}`: {other!r} and {text!r} differ only in case; SDKs keep but one of them"
        elif other is not None and operator in ("eq", "neq"):
            yield f"`{operator}`: {text!r} stands twice, which ends the processes of official SDKs"
        seen[text.lower()] = text


def _number(operator: str, target: JsonValue) -> Iterator[str]:
    if number(target) is None:
        yield f"`{operator}` needs a number as its targetValue, not {target!r}"


def _version(operator: str, target: JsonValue) -> Iterator[str]:
    if not isinstance(target, str) or not is_version(target):
        yield f'`{operator}` needs a version such as "1.10.2" as its targetValue, not {target!r}'


def _time(operator: str, target: JsonValue) -> Iterator[str]:
    if number(target) is None and not (isinstance(target, str) and parse_time(target) is not None):
        yield (
            f"`{operator}` needs milliseconds since 1970, or a time such as 2026-01-31T12:00:00Z, as its "
            f"targetValue, not {target!r}"
        )


def _pattern(operator: str, target: JsonValue) -> Iterator[str]:
    if not isinstance(target, str):
        yield f"`{operator}` needs a pattern as its targetValue"
    elif fault := pattern_error(target):
        yield f"`{operator}`: {fault}"


_TARGETS: Mapping[str, Callable[[str, JsonValue], Iterator[str]]] = {
    **dict.fromkeys(("any", "none", "any_case_sensitive", "none_case_sensitive"), _text_array),
    **dict.fromkeys(
        ("str_starts_with_any", "str_ends_with_any", "str_contains_any", "str_contains_none"), _text_array
    ),
    **dict.fromkeys(
        ("array_contains_any", "array_contains_none", "array_contains_all", "not_array_contains_all"), _array
    ),
    **dict.fromkeys(("eq", "neq"), _equality),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _number),
    **dict.fromkeys(
        ("version_gt", "version_gte", "version_lt", "version_lte", "version_eq", "version_neq"), _version
    ),
    **dict.fromkeys(TIME_OPERATORS, _time),
    "str_matches": _pattern,
}
