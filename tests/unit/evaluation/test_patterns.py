"""The dialect of `str_matches`."""

import pytest

from sluiceway.evaluation.operators import compile_test
from sluiceway.evaluation.patterns import pattern_error


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("b", "abc", True),
        ("foo$", "foo\n", False),
        ("(?m)foo$", "foo\nbar", True),
        (r"foo\z", "foo\n", False),
        (r"foo\Z", "foo\n", True),
        (r"^\h+$", "c0ffee", True),
        (r"\<foo\>", "a foo b", True),
        (r"\b{start}oo", "foo", False),
        (r"\x{41}\u{42}\e", "AB\x1b", True),
        (r"\pL", "é", True),
        (r"[[:alpha:]]", "é", False),
        (r"[a-z&&[^aeiou]]", "e", False),
        (r"[a-c--b]", "b", False),
        (r"(?<x>a)\k<x>", "aa", True),
        (r"(?P<1>a)(?P=1)", "aa", True),
        (r"(?'q'a)b", "ab", True),
        (r"a++b", "aab", True),
        (r"(?<=a+)b", "aab", True),
        (r"(?i)i", "İ", False),
        (r"(?i)[a-z]", "ı", False),
        (r"(?#note)a", "a", True),
        (r"\101", "A", False),
        (r"\R", "\n", False),
        (r"[\d-x]", "5", False),
        (r"(?L)a", "a", False),
        (r"(?=a)*", "a", False),
        (r"(a", "a", False),
        (r"\2(a)", "a", False),
    ],
)
def test_a_pattern_means_what_it_means_in_rust(pattern: str, text: str, matches: bool) -> None:
    assert compile_test("str_matches", pattern)(text) is matches


def test_a_pattern_with_catastrophic_backtracking_is_false_in_bounded_time() -> None:
    explodes = compile_test("str_matches", r"^(?:(?:a|aa)+c|.*b)$")

    assert explodes("aab") is True
    assert explodes("a" * 60 + "b") is False


@pytest.mark.parametrize("pattern", ["a+b*", "(?:ab)+", "[a-z]{2,40}", r"^\w+@\w+\.\w+$", "(a{1,3})+"])
def test_a_pattern_without_a_nested_repetition_may_be_served(pattern: str) -> None:
    assert pattern_error(pattern) is None
