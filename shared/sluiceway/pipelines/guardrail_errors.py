"""What is wrong with the guardrails of a pipeline: said when it is saved, not when one is needed."""

from collections.abc import Collection, Iterator

from ..contracts.catalogue import Region
from ..contracts.guardrails import MetricGuardrail, OnInconclusive
from ..contracts.pipeline import Pipeline
from .guardrail_queries import is_regional, query_errors, uncovered_regions
from .thresholds import parse_threshold


def guardrail_errors(pipeline: Pipeline, regions: Collection[Region]) -> Iterator[str]:
    """Give what is wrong with each guardrail."""
    for index, phase in enumerate(pipeline.phases):
        for guardrail in phase.guardrails:
            if isinstance(guardrail, MetricGuardrail):
                where = f"phase {phase.id!r}, guardrail {guardrail.name!r}"
                yield from (f"{where}: {fault}" for fault in _metric_errors(guardrail))
                left = uncovered_regions(pipeline.phases[: index + 1], regions)
                yield from (f"{where}: {fault}" for fault in _baseline_errors(guardrail, left, regions))


def _metric_errors(guardrail: MetricGuardrail) -> Iterator[str]:
    yield from (f"query: {fault}" for fault in query_errors(guardrail.query))
    if guardrail.min_samples:
        yield from (f"minSamples: {fault}" for fault in query_errors(guardrail.min_samples.query))
    for field in ("failure_condition", "success_condition"):
        text = getattr(guardrail, field)
        try:
            if text is not None:
                parse_threshold(text)
        except ValueError as error:
            yield f"{field.replace('_c', 'C')}: {error}"


def _baseline_errors(
    guardrail: MetricGuardrail, left: Collection[Region], regions: Collection[Region]
) -> Iterator[str]:
    if guardrail.baseline is None:
        return
    if not is_regional(guardrail.query):
        yield "a baseline is the same query elsewhere: name {{ region }} or {{ regions }} in the query"
    wanted = guardrail.baseline.environments
    is_alone = regions and not [r for r in left if not wanted or r.environment in wanted]
    if is_alone and guardrail.on_inconclusive is not OnInconclusive.PASS:
        yield (
            "after this phase no region is left to compare with, and it would hold for ever: "
            "take the baseline away, or set onInconclusive: pass"
        )
