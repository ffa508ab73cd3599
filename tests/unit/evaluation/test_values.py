"""Values at the limits of JSON and of 64 bits; the answers are those of statsig-python-core 0.24.2."""

import math

import pytest
from pydantic import JsonValue

from sluiceway.evaluation.operators import compile_test


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("operator", "target", "value", "expected"),
    [
        ("eq", 0, math.nan, True),
        ("lte", "5", math.nan, True),
        ("lt", "inf", math.inf, True),
        ("gte", "1e400", math.inf, False),
        ("gt", "-Infinity", -math.inf, True),
        ("lte", "-Infinity", -math.inf, False),
        ("any", ["[0]"], [math.nan], True),
        ("any", ["[9223372036854775807]"], [math.inf], True),
        ("any", ["[9.223372036854776e18]"], [2**63], True),
        ("any_case_sensitive", [[2**63]], [2**63], False),
        ("any_case_sensitive", [[2**63 - 1]], [2**63 - 1], True),
        ("eq", {"a": None}, {"a": "null"}, True),
        ("eq", {"a": {"b": 1}}, {"a": '{"b":1}'}, True),
    ],
)
def test_a_number_outside_64_bits_is_converted(
    operator: str, target: JsonValue, value: object, expected: bool
) -> None:
    assert compile_test(operator, target)(value) is expected


@pytest.mark.parametrize(
    ("operator", "target", "value"),
    [
        ("gt", 1, "ınf"),
        ("any", ["x"], [10**400]),
        ("any", ["x"], [{1}]),
        ("any", ["x"], nested(900)),
    ],
    ids=["a dotless i", "a huge integer", "a set", "a deep list"],
)
def test_a_malformed_value_does_not_match_and_is_not_an_error(
    operator: str, target: JsonValue, value: object
) -> None:
    assert not compile_test(operator, target)(value)
