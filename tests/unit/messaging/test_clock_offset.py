"""Which measurement of the broker's time counts."""

import pytest

from sluiceway.messaging.broker_clock import ClockOffset


@pytest.mark.parametrize(
    ("newer", "counts"),
    [
        # more exact
        (ClockOffset(1_002, 1, 5), True),
        # less exact, and it may well be the same offset
        (ClockOffset(1_030, 50, 5), False),
        # as exact as the older one is by now, since clocks drift
        (ClockOffset(1_003, 12, 5), True),
        # the broker's clock jumped: the two cannot both be right
        (ClockOffset(1_500, 100, 5), True),
        (ClockOffset(-7_200_000, 100, 5), True),
    ],
)
def test_the_more_exact_measurement_counts_unless_they_contradict(newer: ClockOffset, counts: bool) -> None:
    older = ClockOffset(1_000, 10, 0)

    assert older.or_newer(newer) is (newer if counts else older)
