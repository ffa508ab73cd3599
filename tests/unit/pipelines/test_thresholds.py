"""The grammar of a guardrail's conditions."""

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.pipelines.thresholds import parse_threshold

OPERATORS = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
NUMBERS = st.sampled_from((-1.5, 0.0, 0.02, 1.0, 7.0, 1e3))
COMPARISONS = st.tuples(st.sampled_from(sorted(OPERATORS)), NUMBERS)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("> 0.02", 0.03, True),
        ("> 0.02", 0.02, False),
        (">=.5", 0.5, True),
        ("value < 1e-3", 0.0001, True),
        ("> 2%", 0.03, True),
        (">= 1 and < 5", 5, False),
        ("< 10 or > 90", 95, True),
        ("> 1 AND < 5 OR == 7", 7, True),
        ("> 1", float("inf"), True),
        ("< -1", float("-inf"), True),
    ],
)
def test_a_condition_is_met_or_not(text: str, value: float, expected: bool) -> None:
    assert parse_threshold(text).holds(value) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.02",
        "> ",
        "> x",
        "> 1 <",
        "> 1 and",
        "> 1 xor < 2",
        "=> 1",
        "> 1; import os",
        "result[0] > 1",
        "> ١",
    ],
)
def test_an_invalid_condition_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="use for example"):
        parse_threshold(text)


@given(
    alternatives=st.lists(st.lists(COMPARISONS, min_size=1, max_size=3), min_size=1, max_size=3),
    value=NUMBERS | st.floats(allow_nan=False),
)
def test_and_binds_closer_than_or(alternatives: list[list[tuple[str, float]]], value: float) -> None:
    text = " or ".join(" and ".join(f"{sign} {number}" for sign, number in all_of) for all_of in alternatives)

    expected = any(all(OPERATORS[sign](value, number) for sign, number in all_of) for all_of in alternatives)

    assert parse_threshold(text).holds(value) is expected
    assert parse_threshold(text).limit == alternatives[0][0][1]


@given(text=st.text(max_size=40))
def test_any_text_is_a_condition_or_a_clear_error(text: str) -> None:
    try:
        result = str(parse_threshold(text).holds(0.0))
    except ValueError as error:
        result = str(error)

    assert result in ("True", "False") or "use for example" in result
