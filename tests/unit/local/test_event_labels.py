"""The labels above a timeline: which events get one, and that none hides another."""

from itertools import combinations

import pytest

from services.local.event_labels import EventLabel, Placement, event_labels, place_labels
from tests.support.recorded_runs import START, a_completed_release, a_rolled_back_release

WIDTH, LETTER = 700.0, 7.0


def placed(labels: list[EventLabel], duration_ms: float) -> list[Placement]:
    def x_of(time_ms: float) -> float:
        return (time_ms - START) * WIDTH / duration_ms

    return place_labels(labels, x_of, lambda text: LETTER * len(text), WIDTH)


def a_label(ms: float, text: str) -> EventLabel:
    return EventLabel(START + ms, text, "o", "progress")


def test_a_release_has_labels_for_its_start_its_approvals_and_its_end() -> None:
    assert [label.text for label in event_labels(a_completed_release())] == [
        "started by ada", "approved by ada", "completed",
    ]  # fmt: skip


def test_a_rolled_back_release_has_a_label_for_the_alert_before_the_roll_back() -> None:
    assert [label.text for label in event_labels(a_rolled_back_release())][-2:] == [
        "alert ErrorsHigh", "rolled back by ada",
    ]  # fmt: skip


@pytest.mark.parametrize("apart_ms", [0, 1, 100, 1_000, 9_000])
def test_labels_however_close_do_not_overlap(apart_ms: int) -> None:
    placements = placed([a_label(n * apart_ms, f"approved by person-{n}") for n in range(5)], 40_000)

    for placement, other in combinations(placements, 2):
        if placement.lane == other.lane:
            assert placement.right < other.left or other.right < placement.left


def test_a_label_that_does_not_fit_right_of_its_line_is_drawn_left_of_it() -> None:
    first, last = placed([a_label(0, "started"), a_label(10, "completed")], 10)

    assert not first.is_left_of_line
    assert last.is_left_of_line
    assert first.lane == last.lane == 0
