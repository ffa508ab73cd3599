"""How many requests of one caller, and of all, are served at the same time."""

from contextlib import ExitStack

import pytest

from sluiceway.http.concurrency_limit import ConcurrencyLimit, LimitReached


def test_a_caller_that_has_as_many_as_allowed_hinders_no_other() -> None:
    limit = ConcurrencyLimit(total=10, per_caller=2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(limit.acquire("ada"))
        with pytest.raises(LimitReached, match="you have 2"):
            held.enter_context(limit.acquire("ada"))

        limit.check("bob")


def test_all_callers_together_are_bounded_and_a_place_that_is_left_is_free() -> None:
    limit = ConcurrencyLimit(total=3, per_caller=2)
    with ExitStack() as held:
        for number in range(3):
            held.enter_context(limit.acquire(f"caller {number}"))
        with pytest.raises(LimitReached, match="there are 3"):
            limit.check("bob")

    limit.check("bob")
    assert not limit._served
