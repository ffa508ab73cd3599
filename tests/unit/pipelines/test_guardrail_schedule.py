"""Which guardrails are measured, from when on, and what the looks at them amount to."""

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


def a_watched_release(**fields: Any) -> Ledger:
    """Return a release of two phases with a guardrail each; the second one needs a review."""
    pager = {"name": "pager", "alert": {"matchLabels": {"a": "b"}}}
    return a_release(
        a_phase("one", guardrails=[GUARDRAIL, pager]),
        a_phase("two", review=True, guardrails=[GUARDRAIL]),
        **fields,
    )


def watched(ledger: Ledger) -> list[tuple[str, int]]:
    """Return the phases whose guardrail is measured, and since when."""
    trigger = ledger.feature.watched_trigger(ledger.now)
    return [(watch.phase.id, watch.since_ms) for watch in active_guardrails(trigger)] if trigger else []


def test_a_guardrail_is_measured_from_the_start_of_its_phase_to_the_end_of_the_release() -> None:
    ledger = a_watched_release()
    began = ledger.now

    assert watched(ledger) == [("one", began)]
    ledger.act(PauseTrigger, after_ms=10)
    assert watched(ledger) == [("one", began)]
    ledger.act(SkipPhase)
    assert watched(ledger) == [("one", began)]
    ledger.act(ApprovePhase, after_ms=10)
    assert watched(ledger) == [("one", began), ("two", began + 20)]
    ledger.act(AbortTrigger)
    assert watched(ledger) == []


def test_whoever_unpauses_a_release_lets_its_guardrails_count_anew() -> None:
    ledger = a_watched_release()
    ledger.act(PauseTrigger, after_ms=10)

    ledger.act(UnpauseTrigger, after_ms=10)

    assert watched(ledger) == [("one", ledger.now)]


def test_a_release_that_went_everywhere_is_watched_by_all_its_phases_while_it_is_observed() -> None:
    ledger = a_watched_release(observe_for_ms=1_000)
    began = ledger.now
    ledger.act(RollOutTrigger, after_ms=10)

    assert watched(ledger) == [("one", began), ("two", began + 10)]
    ledger.now += 1_000
    assert watched(ledger) == []


def test_the_first_measurement_comes_after_its_delay() -> None:
    ledger = a_watched_release()
    (watch,) = active_guardrails(ledger.trigger)

    assert next_measurement_ms(watch, None) == ledger.now + 60_000


def test_rounds_count_on_and_the_worst_region_speaks_for_all() -> None:
    (watch,) = active_guardrails(a_watched_release().trigger)

    def seen(region: str, judgement: Judgement) -> Measurement:
        return Measurement(region=region, query="up", judgement=judgement, why=f"{judgement} in {region}")

    good, bad = Judgement.SUCCESS, Judgement.FAILURE
    first = round_of(watch, None, [seen("eu", bad), seen("us", good)], 1)
    second = round_of(watch, first, [seen("eu", good), seen("us", bad)], 2)
    third = round_of(watch, second, [seen("eu", bad), seen("us", good)], 3)

    assert [one.verdict for one in (first, second, third)] == [
        Verdict.FAILING,
        Verdict.FAILING,
        Verdict.FAILED,
    ]
    assert [one.region for one in (first, second, third)] == ["eu", "us", "eu"]
    assert third.why == "failure in eu"
    assert third.tallies["us"].failures == 1
