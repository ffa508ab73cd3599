"""Answers of Prometheus → what one measurement says.

No answer, no data and not-a-number are errors: neither a failure nor a pass.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from ..contracts.guardrails import Comparison, MetricGuardrail, MinSamples, Reducer
from ..contracts.measurements import Judgement, Measurement
from .guardrail_queries import GuardrailQuery
from .thresholds import Threshold, parse_threshold


class QueryResult(NamedTuple):
    """What Prometheus answered: one value for each series, or an error."""

    values: tuple[float, ...] = ()
    error: str | None = None


NO_DATA = "no data"


class _Finding(NamedTuple):
    """What the conditions say about a value, and which one decided."""

    judgement: Judgement
    why: str


def evaluate_measurement(
    guardrail: MetricGuardrail, query: GuardrailQuery, results: Mapping[str, QueryResult]
) -> Measurement:
    """Return the measurement of one region by the results of its queries."""
    if query.error:
        return _measurement(query, Judgement.ERROR, query.error)
    result = results[query.query]
    if error := _error(result, guardrail.reducer):
        return _measurement(query, Judgement.ERROR, error)
    values = _reduced(result.values, guardrail.reducer)
    if guardrail.min_samples and query.samples:
        too_few = _check_samples(guardrail.min_samples, query, results[query.samples], values)
        if too_few:
            return too_few
    if guardrail.baseline:
        return _compare(guardrail, query, values, results)
    return _judge(guardrail, query, values)


def _error(result: QueryResult, reducer: Reducer | None) -> str | None:
    if result.error:
        return result.error
    if not result.values:
        return NO_DATA
    if any(map(math.isnan, result.values)):
        return "the answer is not a number (NaN)"
    if len(result.values) > 1 and reducer is None:
        return f"{len(result.values)} series: aggregate them in the query, or set a reducer"
    return None


def _reduced(values: tuple[float, ...], reducer: Reducer | None) -> tuple[float, ...]:
    """Return one value, or all of them if each is compared with the condition on its own."""
    match reducer:
        case Reducer.MAX:
            return (max(values),)
        case Reducer.MIN:
            return (min(values),)
        case Reducer.AVG:
            return (sum(values) / len(values),)
        case _:
            return values


def _check_samples(
    minimum: MinSamples, query: GuardrailQuery, samples: QueryResult, values: tuple[float, ...]
) -> Measurement | None:
    """Return the measurement if there are too few samples, or an unknown number; None if there are enough."""
    if samples.error or len(samples.values) > 1 or any(map(math.isnan, samples.values)):
        return _measurement(
            query, Judgement.ERROR, f"samples: {_error(samples, None)}", value=_extreme(values)
        )
    count = sum(samples.values)
    if count >= minimum.at_least:
        return None
    why = f"{count:g} samples, at least {minimum.at_least:g} are needed"
    return _measurement(query, Judgement.INCONCLUSIVE, why, value=_extreme(values), samples=count)


def _compare(
    guardrail: MetricGuardrail,
    query: GuardrailQuery,
    values: tuple[float, ...],
    results: Mapping[str, QueryResult],
) -> Measurement:
    """Return the measurement of a value compared with the mean of the regions that could be measured."""
    assert guardrail.baseline
    value = values[0]
    if not query.baseline:
        return _measurement(query, Judgement.INCONCLUSIVE, "no region is left to compare with", value=value)
    baselines = [results[text] for text in query.baseline]
    valid = [b for b in baselines if not _error(b, guardrail.reducer)]
    if not valid:
        error = _error(baselines[0], guardrail.reducer)
        return _measurement(query, Judgement.ERROR, f"baseline: {error}", value=value)
    baseline = sum(_reduced(b.values, guardrail.reducer)[0] for b in valid) / len(valid)
    compared = _comparison(value, baseline, guardrail.baseline.compare)
    if math.isnan(compared):
        why = f"{value:g} cannot be compared with a baseline of {baseline:g}"
        return _measurement(query, Judgement.INCONCLUSIVE, why, baseline=baseline)
    return _judge(guardrail, query, (compared,), baseline)


def _comparison(value: float, baseline: float, comparison: Comparison) -> float:
    """Return the ratio or difference; NaN for 0 ÷ 0."""
    if comparison is Comparison.DIFFERENCE:
        return value - baseline
    if baseline == 0:
        return math.nan if value == 0 else math.copysign(math.inf, value)
    return value / baseline


def _judge(
    guardrail: MetricGuardrail,
    query: GuardrailQuery,
    values: tuple[float, ...],
    baseline: float | None = None,
) -> Measurement:
    """Return the measurement of values by the conditions of the guardrail."""
    value = _extreme(values)
    against = "" if baseline is None else f" against a baseline of {baseline:g}"
    judgement, why = _finding(guardrail, values)
    return _measurement(query, judgement, f"{value:g}{against} {why}", value=value, baseline=baseline)


def _finding(guardrail: MetricGuardrail, values: tuple[float, ...]) -> _Finding:
    failure = guardrail.failure_condition and parse_threshold(guardrail.failure_condition)
    success = guardrail.success_condition and parse_threshold(guardrail.success_condition)
    if failure and _holds(failure, values, guardrail.reducer):
        return _Finding(Judgement.FAILURE, f"meets the failure condition {failure.text!r}")
    if success and _holds(success, values, guardrail.reducer):
        return _Finding(Judgement.SUCCESS, f"meets the success condition {success.text!r}")
    if failure and success:
        return _Finding(Judgement.INCONCLUSIVE, f"meets neither {failure.text!r} nor {success.text!r}")
    if failure:
        return _Finding(Judgement.SUCCESS, f"does not meet the failure condition {failure.text!r}")
    assert success
    return _Finding(Judgement.FAILURE, f"does not meet the success condition {success.text!r}")


def _holds(condition: Threshold, values: tuple[float, ...], reducer: Reducer | None) -> bool:
    return (all if reducer is Reducer.ALL else any)(condition.holds(value) for value in values)


def _extreme(values: tuple[float, ...]) -> float:
    """Return the value to display: of several, the one that is furthest from zero."""
    return max(values, key=abs)


def _measurement(
    query: GuardrailQuery,
    judgement: Judgement,
    why: str,
    *,
    value: float | None = None,
    baseline: float | None = None,
    samples: float | None = None,
) -> Measurement:
    return Measurement(
        region=query.region,
        query=query.query,
        judgement=judgement,
        value=value,
        baseline=baseline,
        samples=samples,
        why=why,
    )
