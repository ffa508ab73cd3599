"""Each operator, including the surprising cases of the format."""

from typing import Any

import pytest

from sluiceway.evaluation.operators import UnsupportedOperator, compile_test
from sluiceway.evaluation.users import unit_id, user_field
from sluiceway.evaluation.values import json_text, plain_decimal

CASES: list[tuple[str, Any, Any, bool]] = [
    ("any", ["US", "de"], "us", True),
    ("any", ["US"], "fr", False),
    ("any", [""], None, True),
    ("none", ["x"], None, True),
    ("any", "us", "us", False),
    ("none", "us", "us", True),
    ("any", {"us": 1}, "US", True),
    ("any", {"US": 1}, "US", False),
    ("any", [True], True, True),
    ("any", ["5"], 5.0, True),
    ("any", [5], 5, True),
    ("any", [1.0], 1, False),
    ("any", ['["a"]'], ["a"], True),
    ("any_case_sensitive", ["US"], "us", False),
    ("any_case_sensitive", ["A", "a"], "A", False),
    ("none_case_sensitive", ["US"], "us", True),
    ("eq", None, None, True),
    ("eq", None, "", False),
    ("eq", True, True, True),
    ("eq", True, "true", False),
    ("eq", 5, "5", True),
    ("eq", 5, 5.0, True),
    ("eq", 1, True, False),
    ("eq", "true", True, True),
    ("eq", "5", 5, True),
    ("eq", "US", "us", False),
    ("eq", ["a", 1], ["a", 1], True),
    ("eq", ["a"], ["a", "b"], False),
    ("eq", {"a": 1}, {"a": 1.0}, True),
    ("eq", {"a": 1.0}, {"a": 1}, False),
    ("eq", {"a": None}, {"a": None}, False),
    ("neq", 5, 6, True),
    ("neq", 5, None, True),
    ("gt", 5, 6, True),
    ("gt", 5, "6.5", True),
    ("gt", "5", 6, True),
    ("gt", 5, None, False),
    ("gt", "x", 6, False),
    ("gt", 0, True, False),
    ("gte", 5, 5, True),
    ("lt", 5, 4.9, True),
    ("lte", 5, 5.1, False),
    ("gt", "1e3", 1001, True),
    ("gt", " 1", 2, False),
    ("lt", "nan", 1, False),
]


@pytest.mark.parametrize(("operator", "target", "value", "expected"), CASES)
def test_an_operator_compares_as_the_format_says(
    operator: str, target: Any, value: Any, expected: bool
) -> None:
    assert compile_test(operator, target)(value) is expected


def test_an_unknown_operator_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(UnsupportedOperator, match="like"):
        compile_test("like", "x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1200.0, "1200"),
    ],
)
def test_a_users_number_is_written_in_plain_decimal(value: float, text: str) -> None:
    assert plain_decimal(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (1e16, "1e16"),
        (1e15, "1000000000000000.0"),
        (1.25e-6, "1.25e-6"),
        (0.00001, "0.00001"),
        (-0.0, "-0.0"),
        ([1, 1.0, None], "[1,1.0,null]"),
        ({"a": "é"}, '{"a":"é"}'),
        (2**64, "1.8446744073709552e19"),
    ],
)
def test_an_element_is_written_as_compact_json(value: Any, text: str) -> None:
    assert json_text(value) == text


def test_a_field_is_looked_for_in_the_user_then_in_custom_then_in_private_attributes() -> None:
    user = {"email": "a@b", "custom": {"Tier": "x", "gone": None}, "privateAttributes": {"gone": "y", "p": 1}}

    assert user_field("EMAIL")(user) == "a@b"
    assert user_field("Tier")(user) == "x"
    assert user_field("tier")(user) is None
    assert user_field("gone")(user) is None
    assert user_field("p")(user) == 1
    assert user_field(None)(user) is None
    assert user_field("email")({"email": "", "custom": {"email": "c"}}) == "c"


def test_a_malformed_user_reads_as_missing() -> None:
    assert user_field("x")({"custom": "nonsense"}) is None
    assert unit_id("team")({"customIDs": []}) is None
    assert unit_id("userID")({}) == ""
    assert unit_id("Team")({"customIDs": {"team": 7.0}}) == 7.0
