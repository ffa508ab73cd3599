"""Which guardrails are measured, from when on, and the rounds that result."""

from typing import Any

from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    PauseTrigger,
    RollOutTrigger,
    SkipPhase,
    UnpauseTrigger,
)
from sluiceway.contracts.measurements import Judgement, Measurement, Verdict
from sluiceway.pipelines.guardrail_schedule import active_guardrails, next_measurement_ms, round_of
from tests.support.builders import Ledger, a_phase, a_release

GUARDRAIL = {
    "name": "errors",
    "query": "up",
    "failureCondition": "> 1",
    "initialDelay": "1m",
    "failureLimit": 1,
}


def a_guarded_release(**fields: Any) -> Ledger:
    """Return a release of two phases with a guardrail each; the second one needs a review."""
    pager = {"name": "pager", "alert": {"matchLabels": {"a": "b"}}}
    return a_release(
        a_phase("one", guardrails=[GUARDRAIL, pager]),
        a_phase("two", review=True, guardrails=[GUARDRAIL]),
        **fields,
    )


def active_phases(ledger: Ledger) -> list[tuple[str, int]]:
    """Return the phases whose guardrail is measured, and since when."""
    trigger = ledger.feature.watched_trigger(ledger.now)
    return [(active.phase.id, active.since_ms) for active in active_guardrails(trigger)] if trigger else []


def test_a_guardrail_is_measured_from_the_start_of_its_phase_to_the_end_of_the_release() -> None:
    ledger = a_guarded_release()
    began = ledger.now

    assert active_phases(ledger) == [("one", began)]
    ledger.act(PauseTrigger, after_ms=10)
    assert active_phases(ledger) == [("one", began)]
    ledger.act(SkipPhase)
    assert active_phases(ledger) == [("one", began)]
    ledger.act(ApprovePhase, after_ms=10)
    assert active_phases(ledger) == [("one", began), ("two", began + 20)]
    ledger.act(AbortTrigger)
    assert active_phases(ledger) == []


def test_unpausing_a_release_starts_the_counts_of_its_guardrails_again() -> None:
    ledger = a_guarded_release()
    ledger.act(PauseTrigger, after_ms=10)

    ledger.act(UnpauseTrigger, after_ms=10)

    assert active_phases(ledger) == [("one", ledger.now)]


def test_a_release_that_went_everywhere_is_watched_by_all_its_phases_while_it_is_observed() -> None:
    ledger = a_guarded_release(observe_for_ms=1_000)
    began = ledger.now
    ledger.act(RollOutTrigger, after_ms=10)

    assert active_phases(ledger) == [("one", began), ("two", began + 10)]
    ledger.now += 1_000
    assert active_phases(ledger) == []


def test_the_first_measurement_comes_after_its_delay() -> None:
    ledger = a_guarded_release()
    (active,) = active_guardrails(ledger.trigger)

    assert next_measurement_ms(active, None) == ledger.now + 60_000


def test_rounds_count_on_and_the_worst_region_speaks_for_all() -> None:
    (active,) = active_guardrails(a_guarded_release().trigger)

    def measured(region: str, judgement: Judgement) -> Measurement:
        return Measurement(region=region, query="up", judgement=judgement, why=f"{judgement} in {region}")

    good, bad = Judgement.SUCCESS, Judgement.FAILURE
    first = round_of(active, None, [measured("eu", bad), measured("us", good)], 1)
    second = round_of(active, first, [measured("eu", good), measured("us", bad)], 2)
    third = round_of(active, second, [measured("eu", bad), measured("us", good)], 3)

    assert [round_.verdict for round_ in (first, second, third)] == [
        Verdict.FAILING,
        Verdict.FAILING,
        Verdict.FAILED,
    ]
    assert [round_.region for round_ in (first, second, third)] == ["eu", "us", "eu"]
    assert third.why == "failure in eu"
    assert third.tallies["us"].failures == 1
