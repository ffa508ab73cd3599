"""What is refused when it is saved: each fault is a sentence that says where and what to do."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from ..contracts.catalogue import Region
from ..contracts.conditions import Condition
from ..contracts.feature import FeatureDocument, Segment
from ..contracts.pipeline import Pipeline
from .condition_errors import condition_errors
from .guardrail_errors import guardrail_errors
from .projection import rule_id


def feature_errors(document: FeatureDocument, environments: Collection[str]) -> list[str]:
    """Return what is wrong with a gate or config; empty where nothing is."""
    faults = [
        f"rule id {id_!r} stands {count} times; give each rule an id of its own"
        for id_, count in Counter(rule_id(rule) for rule in document.rules).items()
        if count > 1
    ]
    for rule in document.rules:
        faults += _rule_errors(f"rule {rule.name!r}", rule.environments, rule.conditions, environments)
    if isinstance(document, Segment):
        faults += _segment_errors(document)
    return faults


def pipeline_errors(
    pipeline: Pipeline, environments: Collection[str], regions: Collection[Region] = ()
) -> list[str]:
    """Return what is wrong with a pipeline; empty where nothing is.

    `regions` are those that a guardrail may have to be compared with.
    """
    faults: list[str] = []
    for phase in pipeline.phases:
        for rule in phase.rules:
            where = f"phase {phase.id!r}, rule {rule.name!r}"
            faults += _rule_errors(where, rule.environments, rule.conditions, environments)
    return [*faults, *guardrail_errors(pipeline, regions)]


def _rule_errors(
    where: str,
    named: Sequence[str] | None,
    conditions: Sequence[Condition],
    environments: Collection[str],
) -> Iterator[str]:
    for name in named or ():
        if name not in environments:
            known = ", ".join(sorted(environments)) or "none yet"
            yield f"{where}: there is no environment {name!r} (known: {known})"
    for index, condition in enumerate(conditions):
        for fault in condition_errors(condition):
            yield f"{where}, condition {index + 1}: {fault}"


def _segment_errors(segment: Segment) -> Iterator[str]:
    for id_, count in Counter(segment.ids).items():
        if count > 1:
            yield f"id {id_!r} stands {count} times"
    for rule in segment.rules:
        if not rule.return_value:
            yield f"rule {rule.name!r}: whoever matches it is in the segment; returnValue must be true"
