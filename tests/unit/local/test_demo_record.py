"""What a run of the demo recorded: phases, regions and the rollback over time."""

from itertools import pairwise

from services.local.demo_record import RecordedRelease
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus
from tests.support.recorded_runs import (
    BEGINNING,
    IN_PROGRESS,
    PHASES,
    REGIONS,
    START,
    a_completed_release,
    a_rolled_back_release,
    a_run,
    an_event,
)


def test_phases_follow_each_other_without_a_gap() -> None:
    for release in (a_completed_release(), a_rolled_back_release()):
        spans = release.phase_spans

        assert (spans[0].begin_ms, spans[-1].end_ms) == (START, release.last.time_ms)
        assert all(earlier.end_ms == later.begin_ms for earlier, later in pairwise(spans))


def test_a_phase_has_a_span_for_its_review_and_one_for_its_bake() -> None:
    spans = a_completed_release().phase_spans

    assert [(span.phase, span.is_baking) for span in spans] == [
        ("development", True), ("america", False), ("america", True), ("europe", True),
    ]  # fmt: skip


def test_an_event_that_changes_neither_phase_nor_status_extends_the_span() -> None:
    held = an_event(EventType.PHASE_HELD, 1, IN_PROGRESS, "development")
    release = RecordedRelease("gate.new_checkout.1", (BEGINNING[0], held, *BEGINNING[1:]))

    assert release.phase_spans[0].begin_ms == START
    assert release.phase_spans[0].end_ms == START + 2_000


def test_a_region_serves_the_candidate_from_its_application_to_the_completion() -> None:
    release = a_completed_release()

    assert release.candidate_span("us") == (START + 4_007, START + 8_000)
    begins = [span.begin_ms for region in ("dev", "us", "eu") if (span := release.candidate_span(region))]
    assert begins == sorted(begins)
    assert {span and span.end_ms for span in map(release.candidate_span, REGIONS)} == {START + 8_000}


def test_after_a_roll_back_a_region_serves_the_candidate_until_it_has_applied_the_base() -> None:
    release = a_rolled_back_release()

    assert [release.candidate_span(region) for region in REGIONS] == [
        (START + 5, START + 5_018),
        None,
        (START + 4_007, START + 5_022),
    ]


def test_a_roll_back_lasts_from_the_alert_to_the_last_region() -> None:
    assert a_rolled_back_release().rollback_ms == 22
    assert a_completed_release().rollback_ms is None


def test_a_release_ends_when_its_last_event_has_been_applied_everywhere() -> None:
    assert a_completed_release().duration_ms == 8_000
    assert a_rolled_back_release().duration_ms == 5_022
    assert RecordedRelease("gate.new_checkout.1", BEGINNING[:1]).duration_ms == 5


def test_regions_are_in_the_order_in_which_they_were_reached() -> None:
    assert a_run(a_completed_release()).regions_as_reached == ("dev", "us", "eu")
    assert a_run(a_rolled_back_release()).regions_as_reached == ("dev", "us", "eu")


def test_the_started_phases_are_those_that_were_released() -> None:
    assert a_completed_release().started_phases == PHASES
    assert a_rolled_back_release().started_phases == PHASES[:2]
    assert a_rolled_back_release().last.status is TriggerStatus.ROLLED_BACK
