"""What tells that a stream went back, and what only that its content is somewhere else now."""

import pytest
from prometheus_client import REGISTRY

from sluiceway.messaging.stream_history import (
    StreamState,
    lost_at_record,
    lost_in_stream,
    report_lost_place,
)
from sluiceway.messaging.stream_records import START, Position, Record

STORED_MS = 1_000
#: As versions before this one have stored it.
MONDAY, TUESDAY = "2026-11-23 10:00:00+00:00", "2026-11-24 10:00:00+00:00"
READ = Position(MONDAY, 7, STORED_MS)


def test_a_stream_that_holds_more_is_the_same() -> None:
    assert lost_in_stream(READ, 9, StreamState(MONDAY, 9)) is None
    assert lost_in_stream(START, 0, StreamState(MONDAY, 9)) is None


@pytest.mark.parametrize(
    ("position", "stored", "state", "why"),
    [
        (READ, 0, StreamState(TUESDAY, 9), "it was recreated"),
        (READ, 0, StreamState(MONDAY, 6), "it ends at message 6"),
        (START, 8, StreamState(MONDAY, 6), "it ends at message 6"),
        (Position(f"{MONDAY}@1/3", 7, STORED_MS), 0, StreamState(f"{TUESDAY}@1/3", 9), "it was recreated"),
    ],
)
def test_a_stream_that_was_recreated_or_ends_earlier_went_back(
    position: Position, stored: int, state: StreamState, why: str
) -> None:
    lost = lost_in_stream(position, stored, state)

    assert lost
    assert lost.went_back
    assert lost.why == why


@pytest.mark.parametrize(
    ("position", "created"),
    [
        (READ, f"{TUESDAY}@0/3"),
        (READ, f"{TUESDAY}@1/3"),
        (Position(f"{MONDAY}@1/3", 7, STORED_MS), f"{TUESDAY}@2/3"),
        (Position(f"{MONDAY}@1/3", 7, STORED_MS), f"{TUESDAY}@1/5"),
        (Position(f"{MONDAY}@1/3", 7, STORED_MS), TUESDAY),
        (Position(f"{MONDAY}@1/3", 0), TUESDAY),
    ],
)
def test_what_was_moved_to_another_stream_did_not_go_back(position: Position, created: str) -> None:
    lost = lost_in_stream(position, 0, StreamState(created, 2))

    assert lost
    assert not lost.went_back


def test_a_recreated_stream_of_which_nothing_was_read_is_read_from_the_start() -> None:
    """How far the one before was read does not hold for it."""
    lost = lost_in_stream(Position(MONDAY, 0), 0, StreamState(TUESDAY, 2))

    assert lost
    assert not lost.went_back


def test_the_record_at_a_position_tells_histories_apart() -> None:
    same = Record("letters.a", 7, STORED_MS, b"", {})
    removed, other = (
        lost_at_record(READ, same._replace(sequence=8)),
        lost_at_record(READ, same._replace(time_ms=STORED_MS + 1)),
    )

    assert lost_at_record(READ, same) is None
    assert removed
    assert not removed.went_back
    assert other
    assert other.went_back


def test_only_a_stream_that_went_back_counts_as_a_break(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for created in (f"{TUESDAY}@1/3", TUESDAY):
        lost = lost_in_stream(READ, 0, StreamState(created, 2))
        assert lost
        report_lost_place("MOVED", lost)

    assert REGISTRY.get_sample_value("sluiceway_history_breaks_total", {"stream": "MOVED"}) == 1
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]
