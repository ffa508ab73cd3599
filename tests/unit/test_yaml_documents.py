"""YAML is read as its author means it, or refused with the line and what to do."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.json_depth import DEPTH_MAX
from sluiceway.yaml_documents import (
    ERRORS_MAX,
    InvalidYaml,
    dump_yaml,
    load_yaml,
    load_yaml_documents,
)

MERGED = {"base": {"a": 1}, "more": {"a": 4, "d": 3}, "same": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[DK, SE, NO, FI]", ["DK", "SE", "NO", "FI"]),
        ("[yes, off, on, n, y]", ["yes", "off", "on", "n", "y"]),
        ("[09:00, 20:30, 12:30:45]", ["09:00", "20:30", "12:30:45"]),
        ("[1_000, 2026-12-20, 0b1]", ["1_000", "2026-12-20", "0b1"]),
        ("[true, False, null, ~, ]", [True, False, None, None]),
        ("[10, -3, 0, 0.5, 10.0, 1.1]", [10, -3, 0, 0.5, 10.0, 1.1]),
        ('["01067", \'1.10\', "5e10", "NO"]', ["01067", "1.10", "5e10", "NO"]),
        ('{"title": "sale \\ud83d\\ude00"}', {"title": "sale 😀"}),
        ("", None),
        ("base: &b {a: 1}\nmore: {<<: *b, c: 2}", {"base": {"a": 1}, "more": {"a": 1, "c": 2}}),
        ("base: &b {a: 1}\nmore: {<<: [*b, {a: 2, d: 3}], a: 4}\nsame: *b", MERGED),
        ("'<<': <<", {"<<": "<<"}),
        ("[!!str 1, !!int 1, !!bool true, !!null ~, !!seq [], !!map {}]", ["1", 1, True, None, [], {}]),
    ],
)
def test_a_value_is_what_its_author_means(text: str, value: object) -> None:
    assert load_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("zip: 01067", "line 1: 01067 would be read as 1067; quote it if it is text: '01067'"),
        ("version: 1.10", "line 1: 1.10 would be read as 1.1; quote it if it is text: '1.10'"),
        ("a: 1\nbuild: 5e10", "line 2: 5e10 would be read as 50000000000.0; quote it if it is text: '5e10'"),
        ("mask: 0x1F", "line 1: 0x1F is a number; write 31, or quote it: '0x1F'"),
        ("number: " + "1" * 5_000, "line 1: a number of 5000 characters; quote it if it is text"),
        ("limit: .inf", "line 1: .inf does not exist in JSON"),
        ("a: 1\nb: 2\na: 3", "line 3: duplicate key 'a' (first at line 1)"),
        ("rules:\n- {p: 5, q: 1, p: 100}", "line 2: duplicate key 'p' (first at line 2)"),
        ("1: one", "line 1: the key 1 is not text; quote it"),
        ("a:\n  <<: {x: 1, x: 2}\n  y: 3", "line 2: duplicate key 'x' (first at line 2)"),
        ("a:\n  <<: [{x: 1}, {1: 1}]", "line 2: the key 1 is not text; quote it"),
        ("a:\n  <<: {x: 1}\n  <<: {z: 2}", "line 3: duplicate key '<<' (first at line 2)"),
        ("a:\n  <<: 1", "line 2: expected a mapping or list of mappings for merging"),
        ("a:\n  b: !!int abc", "line 2: 'abc' is not a valid !!int; leave the tag out"),
        ("a: !!int '08'", "line 1: 08 would be read as 8"),
        ("a: !!float x", "line 1: 'x' is not a valid !!float; leave the tag out"),
        ("a: !!bool maybe", "line 1: 'maybe' is not a valid !!bool; leave the tag out"),
        ("a: !!bool yes", "line 1: 'yes' is not a valid !!bool; leave the tag out"),
        ("a: !!null x", "line 1: 'x' is not a valid !!null; leave the tag out"),
        ("a: !!merge x", "line 1: 'x' is not a valid !!merge; leave the tag out"),
        ("a: !!map [1]", "line 1: the tag !!map does not fit a sequence; leave it out"),
        ("a: !!map 1", "line 1: the tag !!map does not fit a scalar; leave it out"),
        ("a: !!seq {b: 1}", "line 1: the tag !!seq does not fit a mapping; leave it out"),
        ("a: !!str {b: 1}", "line 1: the tag !!str does not fit a mapping; leave it out"),
        ("? !!str [a]\n: 1", "line 1: the key of a mapping or list is not text; quote it"),
        ('{"\\ud83d\\ude00": 1, "😀": 2}', "line 1: duplicate key '😀' (first at line 1)"),
        ("title: \ud83d", "unacceptable character"),
        ('{"title": "\\ud83d"}', "line 1: half of a surrogate pair"),
        ("a: !!timestamp 2026-01-01", "line 1: unknown tag"),
        ("a: [1, 2", "line "),
        ("&a [*a]", "line 1: an alias refers to what contains it"),
        ("--- 1\n--- 2", "2 documents; one is expected"),
    ],
)
def test_what_could_be_misread_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidYaml) as error:
        load_yaml(text)

    assert str(error.value).startswith(problem)


def test_all_errors_of_a_text_are_reported_by_line() -> None:
    text = 'a: 01\nb: {c: 1.10, c: [5e10, .inf]}\na: "\\ud83d"\n? [x]\n: y\n'

    with pytest.raises(InvalidYaml) as error:
        load_yaml(text)

    lines = [line.partition(":")[0] for line in str(error.value).split("; ") if line.startswith("line")]
    assert lines == ["line 1", "line 2", "line 2", "line 2", "line 2", "line 3", "line 3", "line 4"]


def test_an_error_says_nothing_about_the_other_documents() -> None:
    documents = load_yaml_documents(
        "a: 1\n---\nb: 2\nb: 3\n--- # broken\nc: [1, 2\n---\nd: '4'\n...\n---\n{: e"
    )

    assert [document.value for document in documents][::3] == [{"a": 1}, {"d": "4"}]
    assert [[error.line for error in document.errors] for document in documents] == [[], [4], [7], [], [11]]


def test_a_text_full_of_errors_is_read_to_a_limit() -> None:
    broken = load_yaml_documents("--- [\n" * 10_000)
    invalid = load_yaml_documents("a: 010\n---\n" * 10_000)

    assert sum(len(document.errors) for document in broken) == ERRORS_MAX
    assert len(load_yaml_documents("- 010\n" * 10_000)[0].errors) == ERRORS_MAX
    assert sum(len(document.errors) for document in invalid) == ERRORS_MAX


@pytest.mark.parametrize("escape", ["", '"\\ud83d\\ude00", '])
def test_deep_nesting_is_refused(escape: str) -> None:
    deep = "[" * DEPTH_MAX + "]" * DEPTH_MAX

    assert load_yaml(deep)
    with pytest.raises(InvalidYaml, match="levels deep"):
        load_yaml(f"[{escape}{deep}]")


def test_aliases_that_multiply_are_refused() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]

    with pytest.raises(InvalidYaml, match="more than 200000 values"):
        load_yaml("\n".join(["l0: &l0 [x]", *levels]))


@pytest.mark.parametrize("text", ["NO", "01067", "20:30", "1e3", "0o17", "1.10", "~", "on", "<<", "=", "."])
def test_a_text_that_looks_like_something_else_is_written_in_quotes(text: str) -> None:
    assert load_yaml(dump_yaml({text: [text]})) == {text: [text]}
    assert yaml.safe_load(dump_yaml({text: [text]})) == {text: [text]}


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_is_read_back_as_it_was_written(number: float) -> None:
    assert load_yaml(dump_yaml([number])) == [number]


def test_a_value_that_occurs_twice_is_written_twice() -> None:
    same = ["a"]

    assert dump_yaml([same, same]) == "- - a\n- - a\n"


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000 + "]" * 100_000,
        "a: " + "{b: " * 60_000 + "1" + "}" * 60_000,
        "- " * 100_000 + "a",
        "? " * 100_000 + "a",
        "".join(" " * n + "-\n" for n in range(600)),
        '"\\ud83d\\ude00": ' + "[" * 20_000 + "]" * 20_000,
    ],
    ids=["lists", "mappings", "block lists", "keys", "lines", "without libyaml"],
)
def test_no_depth_ends_the_process(text: str) -> None:
    with pytest.raises(InvalidYaml, match=r"levels deep|mapping keys are not allowed|could not find"):
        load_yaml(text)


#: Ten times what the slowest of them takes.
SECONDS_BOUND = 20.0


@pytest.mark.parametrize(
    "text",
    [
        "--- a\n" * 40_000,
        "--- [\n" * 40_000,
        "b: &b {" + ",".join(f"k{n}: 1" for n in range(5_000)) + "}\nl: {<<: [" + "*b," * 30_000 + "]}",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{y}: &{y} [{f'*{x},' * 9}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)),
        "a: [" + "01," * 80_000 + "]",
        "a: 1\n" * 40_000,
    ],
    ids=["documents", "broken documents", "merges", "billion laughs", "errors", "duplicate keys"],
)
def test_no_text_takes_long(text: str) -> None:
    start = time.monotonic()
    with pytest.raises(InvalidYaml) as error:
        load_yaml(text)

    assert time.monotonic() - start < SECONDS_BOUND
    assert len(str(error.value)) < 10_000
