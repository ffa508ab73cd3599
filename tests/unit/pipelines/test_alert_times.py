"""Whether an alert fired before a candidate was out."""

from typing import Any

import pytest

from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.envelope import rfc3339
from sluiceway.pipelines.alert_times import CLOCKS_DIFFER_MS, is_before, started_ms

RELEASED_MS = 1_795_000_000_500
RECEIVED_MS = RELEASED_MS + 60_000


def an_alert(starts_at: Any) -> Alert:
    return Alert(name="x", starts_at=starts_at)


@pytest.mark.parametrize(
    ("starts_at", "expected"),
    [
        ("2026-11-18T11:06:40.123456789Z", 1_795_000_000_123),
        ("2026-11-18T13:06:40.123+02:00", 1_795_000_000_123),
        (1_795_000_000_123, 1_795_000_000_123),
        (1_795_000_000.123, 1_795_000_000_123),
        # a time in whole seconds stands for all of its second
        ("2026-11-18T11:06:40Z", 1_795_000_000_999),
        (1_795_000_000, 1_795_000_000_999),
        # no alert starts after it arrived
        ("2026-11-18T12:00:00.001Z", RECEIVED_MS),
        ("9999-12-31T23:59:59Z", RECEIVED_MS),
        # without a readable time, it started when it arrived
        (None, RECEIVED_MS),
        ("0001-01-01T00:00:00Z", RECEIVED_MS),
        ("", RECEIVED_MS),
        ("yesterday", RECEIVED_MS),
        (0, RECEIVED_MS),
        (True, RECEIVED_MS),
        (-1, RECEIVED_MS),
        (10**400, RECEIVED_MS),
        (-(10**400), RECEIVED_MS),
        (1e308, RECEIVED_MS),
        (float("nan"), RECEIVED_MS),
        (float("inf"), RECEIVED_MS),
        (float("-inf"), RECEIVED_MS),
        ([1_795_000_000], RECEIVED_MS),
        ({"seconds": 1}, RECEIVED_MS),
    ],
)
def test_when_an_alert_started(starts_at: Any, expected: int) -> None:
    assert started_ms(an_alert(starts_at), RECEIVED_MS) == expected


@pytest.mark.parametrize(
    ("start_ms", "expected"),
    [
        (RELEASED_MS - 86_400_000, True),
        (RELEASED_MS - CLOCKS_DIFFER_MS - 1, True),
        (RELEASED_MS - CLOCKS_DIFFER_MS, False),
        (RELEASED_MS + 1, False),
    ],
)
def test_an_alert_is_before_a_release_by_more_than_clocks_differ(start_ms: int, expected: bool) -> None:
    assert is_before(an_alert(rfc3339(start_ms)), RECEIVED_MS, RELEASED_MS) is expected


def test_an_alert_that_arrived_before_the_release_is_before_it_whatever_its_source_says() -> None:
    early, soon = RELEASED_MS - 1_000, rfc3339(RELEASED_MS + 1_000)

    assert is_before(an_alert(soon), early, RELEASED_MS)
    assert is_before(an_alert(None), early, RELEASED_MS)
