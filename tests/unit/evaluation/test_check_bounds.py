"""A check costs its conditions plus its user, not their product."""

import itertools
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from sluiceway.evaluation import patterns
from sluiceway.evaluation.operators import compile_test
from sluiceway.evaluation.patterns import CHECK_ALLOWANCE, RequestAllowance
from sluiceway.evaluation.text_search import SEARCHES_PER_INDEX

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


def almost(text: str, count: int) -> list[str]:
    """Return texts that an `aaa…` has nearly everywhere."""
    return [f"{text}{n:05}{text}" for n in range(count)]


@pytest.mark.parametrize(
    ("operator", "target", "count", "value"),
    [
        ("none", ["{}"], 1_000, LIST),
        ("array_contains_none", ["x{}"], 1_000, LIST),
        ("neq", ["{}"], 1_000, LIST),
        ("str_contains_none", [f"b{n}" for n in range(30_000)], 1, TEXT),
        ("version_gte", "0.0.{}", 1_000, "0." * 30_000 + "1"),
        ("none", ["{}"], 1_000, "A" * 60_000),
        ("str_starts_with_any", ["{}"], 1_000, "Ä" * 30_000),
        ("str_contains_none", [*almost("a" * 16, 30), "{}"], 1_000, "a" * 29_999),
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


def test_a_list_is_not_multiplied_by_the_text_that_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    condition = on_field("str_contains_any", almost("a" * 16, 4_698))
    rules = loaded({"f": spec(rule("c"))}, {"c": condition})
    text = "a" * 60_000
    monkeypatch.setattr(patterns, "CHECK_CHARACTERS_MAX", SEARCHES_PER_INDEX * (len(text) + 21))

    found = [rules.gate({"custom": {"F": each}}, "f")[0] for each in (text, f"{text}04697{'a' * 16}")]

    assert found == [False, True]


def test_the_searches_of_a_check_are_bounded_together_and_those_in_short_texts_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patterns, "CHECK_CHARACTERS_MAX", 20_000)
    conditions = {f"c{n}": on_field("str_contains_none", [f"x{n:02}"]) for n in range(30)}
    rules = loaded({"f": spec(rule(*conditions))}, conditions)

    def passes(text: str) -> bool:
        return bool(rules.gate({"custom": {"F": text}}, "f")[0])

    assert not passes("a" * 900 + "X29")
    assert not passes("a" * 1_500 + "X09")
    assert passes("a" * 1_500 + "X29")


def test_the_searches_of_a_request_are_bounded_together() -> None:
    conditions = {"c": on_field("str_contains_any", ["x"])}
    rules = loaded({"f": spec(rule("c"))}, conditions)
    text = "a" * 1_999 + "x"
    found = []

    request = RequestAllowance(characters=5_000)
    for _ in range(3):
        with CHECK_ALLOWANCE.of(request):
            found.append(rules.gate({"custom": {"F": text}}, "f")[0])

    assert found == [True, True, False]
    assert rules.gate({"custom": {"F": text}}, "f")[0]


@given(
    texts=st.sets(st.text("abA", max_size=6), min_size=81, max_size=200),
    long=st.sets(st.sampled_from(["ab" * 140, "b" * 300]), max_size=2),
    value=st.text("abAB", max_size=16) | st.sampled_from(["ab" * 150, "a" + "B" * 301]),
)
def test_an_index_finds_what_searches_find(texts: set[str], long: set[str], value: str) -> None:
    texts -= {"", "a", "b"}
    target: list[JsonValue] = [*texts, *long]

    found = compile_test("str_contains_any", target)(value)

    assert found is any(text.lower() in value.lower() for text in texts | long)


def test_no_text_becomes_shorter_in_lower_case() -> None:
    assert all(chr(code).lower() for code in range(sys.maxunicode + 1))


#: More texts than are searched for one by one.
TEXTS = ["".join(letters) for letters in itertools.product("ab", repeat=7)]


@given(left_out=st.sets(st.sampled_from(TEXTS), max_size=40), value=st.text("abAB", max_size=16))
def test_many_texts_are_found_like_few(left_out: set[str], value: str) -> None:
    texts = [text for text in TEXTS if text not in left_out]
    target: list[JsonValue] = [*texts]

    found = compile_test("str_contains_any", target)(value)

    assert found is any(text in value.lower() for text in texts)
