"""How long to wait before the next attempt."""

from sluiceway.backoff import Backoff


def test_the_pause_doubles_up_to_its_bound() -> None:
    backoff = Backoff(0.1, 1.0)

    assert [round(backoff.next_seconds(), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_success_starts_it_again() -> None:
    backoff = Backoff(0.1, 1.0)
    for _ in range(3):
        backoff.next_seconds()

    backoff.reset()

    assert backoff.next_seconds() == 0.1


def test_a_random_part_spreads_clients_that_failed_together() -> None:
    pauses = {Backoff(0.0, 0.0, jitter=0.5).seconds(1) for _ in range(10)}
    spread = [Backoff(1.0, 8.0, jitter=0.5).seconds(3) for _ in range(100)]

    assert pauses == {0.0}
    assert all(2.0 <= pause <= 4.0 for pause in spread)
    assert len(set(spread)) > 1


def test_a_very_long_outage_does_not_overflow() -> None:
    assert Backoff(0.1, 5.0).seconds(1_000_000) == 5.0
