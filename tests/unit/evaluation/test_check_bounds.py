"""A check costs its conditions plus its user, not their product."""

import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from sluiceway.evaluation.operators import compile_test

from .payloads import loaded, rule, spec

#: Ten times what the slowest of them takes.
SECONDS_BOUND = 8.0
LIST = list(range(10_000))
TEXT = "ab" * 30_000


def on_field(operator: str, target: Any) -> dict[str, Any]:
    return {
        "type": "user_field", "field": "F", "operator": operator, "targetValue": target, "idType": "userID",
    }  # fmt: skip


def numbered(target: Any, n: int) -> Any:
    """Return a target that no other condition has."""
    return target.format(n) if isinstance(target, str) else [each.format(n) for each in target]


@pytest.mark.parametrize(
    ("operator", "target", "count", "value"),
    [
        ("none", ["{}"], 1_000, LIST),
        ("array_contains_none", ["x{}"], 1_000, LIST),
        ("neq", ["{}"], 1_000, LIST),
        ("str_contains_none", [f"b{n}" for n in range(30_000)], 1, TEXT),
        ("version_gte", "0.0.{}", 1_000, "0." * 30_000 + "1"),
        ("none", ["{}"], 1_000, "A" * 60_000),
    ],
)
def test_many_conditions_on_a_large_value_are_quick(
    operator: str, target: Any, count: int, value: Any
) -> None:
    conditions = {f"c{n}": on_field(operator, numbered(target, n)) for n in range(count)}
    rules = loaded({"f": spec(rule(*conditions))}, conditions)

    start = time.monotonic()
    rules.gate({"custom": {"F": value}}, "f")

    assert time.monotonic() - start < SECONDS_BOUND


def test_a_list_that_changes_between_two_checks_is_read_again() -> None:
    conditions = {f"c{n}": on_field("array_contains_none", [f"x{n}"]) for n in range(30)}
    rules = loaded({"f": spec(rule(*conditions))}, conditions)
    user: dict[str, Any] = {"custom": {"F": ["a"]}}

    before = rules.gate(user, "f")[0]
    user["custom"]["F"][0] = "x7"

    assert (before, rules.gate(user, "f")[0]) == (True, False)


#: So many texts of one length that the length is looked up.
TEXTS = ["".join(letters) for letters in itertools.product("ab", repeat=7)]


@given(left_out=st.sets(st.sampled_from(TEXTS), max_size=40), value=st.text("abAB", max_size=16))
def test_many_texts_are_found_like_few(left_out: set[str], value: str) -> None:
    texts = [text for text in TEXTS if text not in left_out]
    target: list[JsonValue] = [*texts]

    found = compile_test("str_contains_any", target)(value)

    assert found is any(text in value.lower() for text in texts)
