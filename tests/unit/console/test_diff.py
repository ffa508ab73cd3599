"""The diff shows both texts completely, and its time grows with their lines alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.pages.diff import LINES_SHOWN_MAX, diff_lines

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "- x", "+ y", "", "  z"]), max_size=40)
#: Ten times what the worst of them takes.
SECONDS_BOUND = 5.0


def sides(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return both texts as the diff shows them."""
    lines = [line for line, _ in diff_lines(before, after)]
    return [line[2:] for line in lines if line[0] != "+"], [line[2:] for line in lines if line[0] != "-"]


@given(before=TEXTS, after=TEXTS)
def test_both_texts_can_be_read_from_the_diff(before: list[str], after: list[str]) -> None:
    assert sides("\n".join(before), "\n".join(after)) == (
        "\n".join(before).splitlines(),
        "\n".join(after).splitlines(),
    )


def test_a_change_is_shown_where_it_is() -> None:
    before = "name: a\nrules:\n- name: r\n  pass: 1\n- name: s\n  pass: 1\n"
    after = "name: a\nrules:\n- name: r\n  pass: 2\n- name: new\n- name: s\n  pass: 1\n"

    assert diff_lines(before, after) == [
        ("  name: a", ""),
        ("  rules:", ""),
        ("  - name: r", ""),
        ("-   pass: 1", "minus"),
        ("+   pass: 2", "plus"),
        ("+ - name: new", "plus"),
        ("  - name: s", ""),
        ("    pass: 1", ""),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([f"- a{n}" for n in range(20_000)], [f"- b{n}" for n in range(20_000)]),
        (["x", "y"] * 10_000, ["y", "x", "x"] * 7_000),
        ([f"{n % 141}" for n in range(20_000)], [f"{n * 7 % 142}" for n in range(20_000)]),
        ([f"{n}" for n in range(20_000)], [f"{n}" for n in reversed(range(20_000))]),
        (
            [f"{n // 2}" if n % 2 else "same" for n in range(20_000)],
            [f"{n // 2}" if n % 3 else "same" for n in range(20_000)],
        ),
    ],
    ids=["all other", "repeated", "nearly repeated", "reversed", "interleaved"],
)
def test_no_texts_take_long(before: list[str], after: list[str]) -> None:
    start = time.monotonic()
    lines = diff_lines("\n".join(before), "\n".join(after))

    assert time.monotonic() - start < SECONDS_BOUND
    assert len(lines) <= LINES_SHOWN_MAX + 1


def test_a_long_diff_is_shortened_and_says_how_much_there_is() -> None:
    ids = [f"- user-{n}" for n in range(5_000)]
    changed = [f"- other-{n}" if n % 2 else line for n, line in enumerate(ids)]

    lines = diff_lines("\n".join(ids), "\n".join(changed))

    assert lines[-1][0] == "  … in all, 2,500 lines are added and 2,500 are removed"
    one = diff_lines("\n".join(ids), "\n".join([*ids[:2_500], "- new", *ids[2_500:]]))
    assert [line for line, _ in one[:-1]] == [
        *(f"  - user-{n}" for n in range(2_497, 2_500)),
        "+ - new",
        *(f"  - user-{n}" for n in range(2_500, 2_503)),
    ]
