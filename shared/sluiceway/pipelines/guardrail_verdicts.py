"""Judgements of measurements → counts, a verdict, and the action that follows.

The counting is that of Argo Rollouts' analysis (https://argoproj.github.io/argo-rollouts/features/analysis/),
with one difference: an error, missing data or not-a-number is never a failure and never a pass.
"""

from collections.abc import Iterable

from ..contracts.guardrails import MetricGuardrail, OnFailure, OnInconclusive
from ..contracts.measurements import Judgement, Tally, Verdict
from .thresholds import parse_threshold

#: From the verdict that matters most to the one that matters least.
WORST_FIRST = (
    Verdict.FAILED,
    Verdict.LOST,
    Verdict.BLIND,
    Verdict.FAILING,
    Verdict.INCONCLUSIVE,
    Verdict.PENDING,
    Verdict.PASSING,
)


def count_measurement(tally: Tally, judgement: Judgement) -> Tally:
    """Return the counts with one more measurement."""
    return Tally(
        successes=tally.successes + (judgement is Judgement.SUCCESS),
        failures=tally.failures + (judgement is Judgement.FAILURE),
        inconclusives=tally.inconclusives + (judgement is Judgement.INCONCLUSIVE),
        errors=tally.errors + (judgement is Judgement.ERROR),
        consecutive_errors=tally.consecutive_errors + 1 if judgement is Judgement.ERROR else 0,
        last=judgement,
    )


def verdict_of(tally: Tally, guardrail: MetricGuardrail) -> Verdict:
    """Return the verdict of a guardrail on one region.

    It fails with one failure more than `failureLimit`, in total. It is lost with one error more than
    `consecutiveErrorLimit`, in a row.
    """
    if tally.failures > guardrail.failure_limit:
        return Verdict.FAILED
    if tally.consecutive_errors > guardrail.consecutive_error_limit:
        return Verdict.LOST
    match tally.last:
        case Judgement.ERROR:
            return Verdict.BLIND
        case Judgement.FAILURE:
            return Verdict.FAILING
        case Judgement.INCONCLUSIVE:
            return Verdict.INCONCLUSIVE
        case Judgement.SUCCESS:
            return Verdict.PASSING
        case None:
            return Verdict.PENDING


def worst_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a guardrail on all its regions; passing if there are none."""
    return min(verdicts, key=WORST_FIRST.index, default=Verdict.PASSING)


def is_holding(verdict: Verdict, guardrail: MetricGuardrail) -> bool:
    """Return whether this verdict of a guardrail keeps its phase from being left.

    Only a value can pass: an error holds, even with `onInconclusive: pass`.
    """
    match verdict:
        case Verdict.PASSING:
            return False
        case Verdict.INCONCLUSIVE:
            return guardrail.on_inconclusive is not OnInconclusive.PASS
        case Verdict.FAILED:
            return guardrail.on_failure is not OnFailure.NOTIFY
        case _:
            return True


def action_of(
    verdict: Verdict, guardrail: MetricGuardrail, *, is_due: bool
) -> OnFailure | OnInconclusive | None:
    """Return the action that follows from a verdict, if there is one. `is_due`: the bake is over."""
    if verdict is Verdict.FAILED:
        return guardrail.on_failure
    is_undecided = verdict is Verdict.LOST or (is_due and verdict is Verdict.INCONCLUSIVE)
    if is_undecided and guardrail.on_inconclusive in (OnInconclusive.ROLLBACK, OnInconclusive.PAUSE):
        return guardrail.on_inconclusive
    return None


def limit_of(guardrail: MetricGuardrail) -> float:
    """Return the number of the guardrail's condition, which charts draw a line at."""
    return parse_threshold(guardrail.failure_condition or guardrail.success_condition or "").limit
