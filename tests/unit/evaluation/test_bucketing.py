"""Which users a percentage includes."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.evaluation.bucketing import hash64, percentage_test
from sluiceway.evaluation.users import unit_id

percentages = st.floats(min_value=0, max_value=100)
texts = st.text(max_size=20)


def passes(percentage: float, salt: str, unit: str) -> bool:
    return percentage_test(percentage, salt, unit_id("userID"))({"userID": unit})


@pytest.mark.parametrize("text", ["", "salt.rule.user", "ß"])
def test_the_hash_is_the_first_eight_bytes_of_sha_256(text: str) -> None:
    assert hash64(text) == int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)


def test_the_empty_text_has_the_expected_hash() -> None:
    assert hash64("") == 0xE3B0C44298FC1C14


def test_a_text_that_utf_8_cannot_encode_is_hashed() -> None:
    assert hash64("\ud800") != hash64("")


@given(salt=texts, unit=texts)
def test_everyone_is_in_a_hundred_percent_and_nobody_in_none(salt: str, unit: str) -> None:
    assert passes(100, salt, unit)
    assert not passes(0, salt, unit)


@given(smaller=percentages, greater=percentages, unit=texts)
def test_a_growing_percentage_keeps_its_users(smaller: float, greater: float, unit: str) -> None:
    smaller, greater = sorted((smaller, greater))

    assert passes(greater, "salt.rule", unit) or not passes(smaller, "salt.rule", unit)


def test_the_bucket_at_the_limit_is_excluded() -> None:
    bucket = hash64("s.r.u") % 10_000

    assert not passes(bucket / 100, "s.r", "u")
    assert passes((bucket + 1) / 100, "s.r", "u")


def test_a_percentage_is_multiplied_as_a_double() -> None:
    unit = next(str(n) for n in range(100_000) if hash64(f"s.r.{n}") % 10_000 == 3329)

    assert 33.3 * 100.0 == 3329.9999999999995
    assert passes(33.3, "s.r", unit)
    assert not passes(33.29, "s.r", unit)
