"""What counts as a point in time, and how times are compared."""

import pytest

from sluiceway.evaluation.operators import compile_test
from sluiceway.evaluation.times import parse_time

NEW_YEAR = 1_672_531_200_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1672531200000", NEW_YEAR),
        ("2023-01-01T00:00:00Z", NEW_YEAR),
        ("2023-01-01t00:00:00.1239z", NEW_YEAR + 123),
        ("2023-01-01 02:00:00+02:00", NEW_YEAR),
        ("2022-12-31T22:30:00−01:30", NEW_YEAR),
        ("2023-1-1 0:0:0", NEW_YEAR),
        (" 2023- 01- 01  00: 00: 00", NEW_YEAR),
        ("2023-01-0100:00:00", NEW_YEAR),
        ("2022-12-31T23:59:60Z", NEW_YEAR),
        ("1969-12-31T23:59:59.500Z", -500),
        ("0000-03-01T00:00:00Z", -62_162_035_200_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ],
)
def test_these_are_times(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "2023-01-01", "2023-01-01T00:00:00", "2023-01-01T00:00:00+0000", "2023-01-01T00:00Z",
        "2023-02-29T00:00:00Z", "2023-13-01 00:00:00", "2023-01-01 24:00:00", "2023-01-01 00:00:00 ",
        "2023-01-01T00:00:00+24:00", "tomorrow", "", "1.5", "2023-01-12:00:00",
    ],
)  # fmt: skip
def test_these_are_not_times(text: str) -> None:
    assert parse_time(text) is None


def test_a_users_small_number_counts_seconds_and_a_targets_does_not() -> None:
    after = compile_test("after", NEW_YEAR - 1)

    assert after(NEW_YEAR // 1_000)
    assert after(float(NEW_YEAR))
    assert not after("1e9")
    assert not compile_test("after", NEW_YEAR // 1_000)(5)


def test_a_users_date_is_read_only_if_it_is_short() -> None:
    before = compile_test("before", NEW_YEAR + 1)

    assert before("2023-01-01T00:00:00Z")
    assert not before("2023-01-01T00:00:00.000Z")


def test_days_are_cut_toward_zero() -> None:
    after_1970 = compile_test("on", "2023-01-01T00:00:00Z")
    before_1970 = compile_test("on", "1960-01-02T00:00:00Z")

    assert after_1970("2023-01-01T23:59:59Z")
    assert not after_1970("2023-01-02T00:00:00Z")
    assert before_1970("1960-01-01T12:00:00Z")
    assert not before_1970("1960-01-02T12:00:00Z")
