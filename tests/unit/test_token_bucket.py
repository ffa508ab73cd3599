"""A burst after a rest, then a steady rate."""

from sluiceway.token_bucket import TokenBucket


def test_after_a_burst_there_is_one_token_for_each_interval() -> None:
    bucket = TokenBucket(burst=3, per_second=0.5, now=100)

    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]
    assert bucket.seconds_until_next(100) == 2
    assert [bucket.take(101), bucket.take(102), bucket.take(102)] == [False, True, False]


def test_what_is_spent_beyond_it_has_to_come_back_first() -> None:
    bucket = TokenBucket(burst=10, per_second=2, now=0)

    bucket.spend(0, 15)

    assert bucket.seconds_until_next(0) == 3
    assert [bucket.take(2), bucket.take(3)] == [False, True]


def test_a_rest_fills_it_to_its_burst_and_no_further() -> None:
    bucket = TokenBucket(burst=2, per_second=1, now=0)
    bucket.take(0)

    assert [bucket.take(1_000) for _ in range(3)] == [True, True, False]
    assert bucket.used_at == 1_000
