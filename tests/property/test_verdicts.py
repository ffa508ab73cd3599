"""Verdicts at the boundary of each limit, compared with counts of the test's own."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.guardrails import MetricGuardrail, OnFailure, OnInconclusive
from sluiceway.contracts.measurements import Judgement, Tally, Verdict
from sluiceway.pipelines.guardrail_verdicts import (
    action_of,
    count_measurement,
    is_holding,
    verdict_of,
    worst_verdict,
)

JUDGEMENTS = st.lists(st.sampled_from(Judgement), max_size=40)
LIMITS = st.integers(0, 5)
UNDECIDED = (Judgement.ERROR, Judgement.INCONCLUSIVE)


def a_guardrail(**fields: Any) -> MetricGuardrail:
    return MetricGuardrail.model_validate({"name": "g", "query": "q", "failureCondition": "> 1", **fields})


def tallied(judgements: list[Judgement]) -> Tally:
    tally = Tally()
    for judgement in judgements:
        tally = count_measurement(tally, judgement)
    return tally


def errors_in_a_row(judgements: list[Judgement]) -> int:
    """Count the errors at the end."""
    text = "".join("e" if judgement is Judgement.ERROR else "." for judgement in judgements)
    return len(text) - len(text.rstrip("e"))


@given(judgements=JUDGEMENTS, failure_limit=LIMITS)
def test_it_fails_with_one_failure_more_than_is_allowed_and_not_before(
    judgements: list[Judgement], failure_limit: int
) -> None:
    guardrail = a_guardrail(failureLimit=failure_limit, consecutiveErrorLimit=1_000)

    failures = [judgement for judgement in judgements if judgement is Judgement.FAILURE]

    has_failed = verdict_of(tallied(judgements), guardrail) is Verdict.FAILED
    assert has_failed == (len(failures) > failure_limit)


@given(judgements=JUDGEMENTS, more=JUDGEMENTS, failure_limit=LIMITS)
def test_a_failed_guardrail_stays_failed(
    judgements: list[Judgement], more: list[Judgement], failure_limit: int
) -> None:
    guardrail = a_guardrail(failureLimit=failure_limit)

    if verdict_of(tallied(judgements), guardrail) is Verdict.FAILED:
        assert verdict_of(tallied(judgements + more), guardrail) is Verdict.FAILED


@given(judgements=JUDGEMENTS, error_limit=LIMITS)
def test_it_is_lost_with_one_error_in_a_row_more_than_is_allowed(
    judgements: list[Judgement], error_limit: int
) -> None:
    guardrail = a_guardrail(failureLimit=1_000, consecutiveErrorLimit=error_limit)

    is_lost = verdict_of(tallied(judgements), guardrail) is Verdict.LOST

    assert is_lost == (errors_in_a_row(judgements) > error_limit)


@given(
    judgements=st.lists(st.sampled_from(UNDECIDED), max_size=40),
    on_inconclusive=st.sampled_from(OnInconclusive),
)
def test_undecided_measurements_never_fail_and_errors_never_pass(
    judgements: list[Judgement], on_inconclusive: OnInconclusive
) -> None:
    guardrail = a_guardrail(onInconclusive=on_inconclusive)

    verdict = verdict_of(tallied(judgements), guardrail)

    assert verdict not in (Verdict.FAILED, Verdict.FAILING, Verdict.PASSING)
    may_leave = not is_holding(verdict, guardrail)
    assert may_leave == (
        on_inconclusive is OnInconclusive.PASS and judgements[-1:] == [Judgement.INCONCLUSIVE]
    )


@given(
    judgements=JUDGEMENTS,
    fields=st.fixed_dictionaries({"failureLimit": LIMITS, "consecutiveErrorLimit": LIMITS}),
)
def test_under_hold_only_a_success_lets_a_phase_be_left(
    judgements: list[Judgement], fields: dict[str, int]
) -> None:
    guardrail = a_guardrail(**fields)

    if not is_holding(verdict_of(tallied(judgements), guardrail), guardrail):
        assert judgements[-1] is Judgement.SUCCESS
        assert judgements.count(Judgement.FAILURE) <= fields["failureLimit"]


@given(
    judgements=JUDGEMENTS,
    on_failure=st.sampled_from(OnFailure),
    on_inconclusive=st.sampled_from((OnInconclusive.HOLD, OnInconclusive.PASS)),
    is_due=st.booleans(),
)
def test_nothing_but_a_failure_acts_unless_the_author_said_so(
    judgements: list[Judgement], on_failure: OnFailure, on_inconclusive: OnInconclusive, is_due: bool
) -> None:
    guardrail = a_guardrail(onFailure=on_failure, onInconclusive=on_inconclusive, failureLimit=2)
    verdict = verdict_of(tallied(judgements), guardrail)

    action = action_of(verdict, guardrail, is_due=is_due)

    assert action == (on_failure if judgements.count(Judgement.FAILURE) > 2 else None)


@given(verdicts=st.lists(st.sampled_from(Verdict), min_size=1))
def test_one_region_is_enough_for_the_worst(verdicts: list[Verdict]) -> None:
    worst = worst_verdict(verdicts)

    assert worst in verdicts
    assert (worst is Verdict.PASSING) == (set(verdicts) == {Verdict.PASSING})
    assert (worst is Verdict.FAILED) == (Verdict.FAILED in verdicts)
