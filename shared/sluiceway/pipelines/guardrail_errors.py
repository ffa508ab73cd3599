"""Checks the guardrails of a pipeline when it is saved, before one of them is needed."""

from collections.abc import Collection, Iterator

from ..contracts.catalogue import Region
from ..contracts.guardrails import MetricGuardrail, OnInconclusive
from ..contracts.pipeline import Pipeline
from .guardrail_queries import is_regional, query_errors, uncovered_regions
from .thresholds import parse_threshold


def guardrail_errors(pipeline: Pipeline, regions: Collection[Region]) -> Iterator[str]:
    """Yield what is wrong with each guardrail."""
    for index, phase in enumerate(pipeline.phases):
        for guardrail in phase.guardrails:
            if isinstance(guardrail, MetricGuardrail):
                where = f"phase {phase.id!r}, guardrail {guardrail.name!r}"
                uncovered = uncovered_regions(pipeline.phases[: index + 1], regions)
                for error in (
                    *_metric_errors(guardrail),
                    *_baseline_errors(guardrail, uncovered, regions),
                ):
                    yield f"{where}: {error}"


def _metric_errors(guardrail: MetricGuardrail) -> Iterator[str]:
    yield from (f"query: {error}" for error in query_errors(guardrail.query))
    if guardrail.min_samples:
        yield from (f"minSamples: {error}" for error in query_errors(guardrail.min_samples.query))
    for field in ("failure_condition", "success_condition"):
        text = getattr(guardrail, field)
        try:
            if text is not None:
                parse_threshold(text)
        except ValueError as error:
            yield f"{field.replace('_c', 'C')}: {error}"


def _baseline_errors(
    guardrail: MetricGuardrail, uncovered: Collection[Region], regions: Collection[Region]
) -> Iterator[str]:
    if guardrail.baseline is None:
        return
    if not is_regional(guardrail.query):
        yield "a baseline needs a query for each region: use {{ region }} or {{ regions }} in the query"
    environments = guardrail.baseline.environments
    has_baseline = any(not environments or region.environment in environments for region in uncovered)
    if regions and not has_baseline and guardrail.on_inconclusive is not OnInconclusive.PASS:
        yield (
            "the baseline has no region left after this phase, so the phase would be held forever: "
            "remove the baseline, or set onInconclusive: pass"
        )
