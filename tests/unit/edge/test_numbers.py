"""What counts as a number that a client sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.numbers import InvalidNumber, whole_number
from services.edge.statsig import _range_start


@given(text=st.text(max_size=30) | st.from_regex(r"[0-9+_ .eE-]{0,20}", fullmatch=True))
def test_a_text_is_a_number_within_the_bound_or_refused(text: str) -> None:
    try:
        number = whole_number("count", text, 1_000)
    except InvalidNumber:
        assert not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) <= 1_000)
    else:
        assert 0 <= number <= 1_000


@given(number=st.integers(0, 10**15 - 1))
def test_each_number_within_the_bound_is_read(number: int) -> None:
    assert whole_number("time", str(number)) == number


@pytest.mark.parametrize(
    ("header", "start"),
    [("bytes=5-", 5), ("bytes=5-9", 5), ("", 0), ("bytes=-5", 0), ("bytes=٣-", 0), ("lines=5-", 0)],
)
def test_a_range_of_another_form_is_ignored(header: str, start: int) -> None:
    assert _range_start(header) == start


def test_a_range_that_starts_nowhere_is_refused() -> None:
    with pytest.raises(InvalidNumber, match="start of the range"):
        _range_start(f"bytes={'9' * 5_000}-")
