"""Answers of Prometheus → what one measurement says.

No answer, no data and not-a-number are errors: neither a failure nor a pass.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from ..contracts.guardrails import Comparison, MetricGuardrail, Reducer
from ..contracts.measurements import Judgement, Measurement
from .guardrail_queries import GuardrailQuery
from .thresholds import Threshold, parse_threshold


class QueryResult(NamedTuple):
    """What Prometheus answered: one value for each series, or why there is none."""

    values: tuple[float, ...] = ()
    error: str | None = None


NO_DATA = "no data"


def evaluate_measurement(
    guardrail: MetricGuardrail, ask: GuardrailQuery, answers: Mapping[str, QueryResult]
) -> Measurement:
    """Return what the answers to the queries of one region say."""
    if ask.error:
        return _measured(ask, Judgement.ERROR, ask.error)
    answer = answers[ask.query]
    if fault := _error(answer, guardrail.reducer):
        return _measured(ask, Judgement.ERROR, fault)
    values = _reduced(answer.values, guardrail.reducer)
    if guardrail.min_samples and ask.samples:
        samples = answers[ask.samples]
        if samples.error or len(samples.values) > 1 or any(map(math.isnan, samples.values)):
            fault = _error(samples, None)
            return _measured(ask, Judgement.ERROR, f"samples: {fault}", value=_shown(values))
        count, least = sum(samples.values), guardrail.min_samples.at_least
        if count < least:
            why = f"{count:g} samples, at least {least:g} are needed"
            return _measured(ask, Judgement.INCONCLUSIVE, why, value=_shown(values), samples=count)
    return _compared(guardrail, ask, values, answers) if guardrail.baseline else _met(guardrail, ask, values)


def _error(answer: QueryResult, reducer: Reducer | None) -> str | None:
    if answer.error:
        return answer.error
    if not answer.values:
        return NO_DATA
    if any(map(math.isnan, answer.values)):
        return "the answer is not a number (NaN)"
    if len(answer.values) > 1 and reducer is None:
        return f"{len(answer.values)} series; aggregate them, or name a reducer"
    return None


def _reduced(values: tuple[float, ...], reducer: Reducer | None) -> tuple[float, ...]:
    """Return one value; all of them where each is to meet the condition on its own."""
    match reducer:
        case Reducer.MAX:
            return (max(values),)
        case Reducer.MIN:
            return (min(values),)
        case Reducer.AVG:
            return (sum(values) / len(values),)
        case _:
            return values


def _compared(
    guardrail: MetricGuardrail,
    ask: GuardrailQuery,
    values: tuple[float, ...],
    answers: Mapping[str, QueryResult],
) -> Measurement:
    assert guardrail.baseline
    if not ask.baseline:
        return _measured(ask, Judgement.INCONCLUSIVE, "no region is left to compare with", value=values[0])
    found = [answers[query] for query in ask.baseline]
    seen = [
        _reduced(answer.values, guardrail.reducer)[0]
        for answer in found
        if not _error(answer, guardrail.reducer)
    ]
    if not seen:
        fault = _error(found[0], guardrail.reducer)
        return _measured(ask, Judgement.ERROR, f"baseline: {fault}", value=values[0])
    baseline = sum(seen) / len(seen)
    compared = _comparison(values[0], baseline, guardrail.baseline.compare)
    if math.isnan(compared):
        why = f"{values[0]:g} cannot be compared with a baseline of {baseline:g}"
        return _measured(ask, Judgement.INCONCLUSIVE, why, baseline=baseline)
    return _met(guardrail, ask, (compared,), baseline)


def _comparison(value: float, baseline: float, comparison: Comparison) -> float:
    if comparison is Comparison.DIFFERENCE:
        return value - baseline
    if baseline == 0:
        return math.nan if value == 0 else math.copysign(math.inf, value)
    return value / baseline


def _met(
    guardrail: MetricGuardrail, ask: GuardrailQuery, values: tuple[float, ...], baseline: float | None = None
) -> Measurement:
    """Return the measurement of values that can be held against the conditions."""
    failure = guardrail.failure_condition and parse_threshold(guardrail.failure_condition)
    success = guardrail.success_condition and parse_threshold(guardrail.success_condition)
    shown = _shown(values)
    against = "" if baseline is None else f" against a baseline of {baseline:g}"
    said = f"{shown:g}{against}"
    if failure and _holds(failure, values, guardrail.reducer):
        why = f"{said} meets the failure condition {failure.text!r}"
        return _measured(ask, Judgement.FAILURE, why, value=shown, baseline=baseline)
    if success and _holds(success, values, guardrail.reducer):
        why = f"{said} meets the success condition {success.text!r}"
        return _measured(ask, Judgement.SUCCESS, why, value=shown, baseline=baseline)
    if failure and success:
        why = f"{said} meets neither {failure.text!r} nor {success.text!r}"
        return _measured(ask, Judgement.INCONCLUSIVE, why, value=shown, baseline=baseline)
    if failure:
        why = f"{said} does not meet the failure condition {failure.text!r}"
        return _measured(ask, Judgement.SUCCESS, why, value=shown, baseline=baseline)
    assert success
    why = f"{said} does not meet the success condition {success.text!r}"
    return _measured(ask, Judgement.FAILURE, why, value=shown, baseline=baseline)


def _holds(condition: Threshold, values: tuple[float, ...], reducer: Reducer | None) -> bool:
    return (all if reducer is Reducer.ALL else any)(condition.holds(value) for value in values)


def _shown(values: tuple[float, ...]) -> float:
    """Return the value to show: of several, the one that is furthest from zero."""
    return max(values, key=abs)


def _measured(
    ask: GuardrailQuery,
    judgement: Judgement,
    why: str,
    *,
    value: float | None = None,
    baseline: float | None = None,
    samples: float | None = None,
) -> Measurement:
    return Measurement(
        region=ask.region,
        query=ask.query,
        judgement=judgement,
        value=value,
        baseline=baseline,
        samples=samples,
        why=why,
    )
