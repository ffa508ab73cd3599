"""What is refused when it is saved: each error says where it is and what to do."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from ..contracts.catalogue import Region
from ..contracts.conditions import Condition
from ..contracts.feature import FeatureDocument, Segment
from ..contracts.json_depth import depth_error
from ..contracts.pipeline import Pipeline
from .condition_errors import condition_errors, patterns_error, slow_environment_error
from .guardrail_errors import guardrail_errors
from .projection import rule_id


def feature_errors(document: FeatureDocument, environments: Collection[str]) -> list[str]:
    """Return the errors of a gate, config or segment; empty if it is valid."""
    if error := patterns_error(condition for rule in document.rules for condition in rule.conditions):
        return [error]
    errors = [
        f"duplicate rule id {id_!r} ({count} rules); give each rule its own id"
        for id_, count in Counter(rule_id(rule) for rule in document.rules).items()
        if count > 1
    ]
    errors += _depth_errors(document)
    for rule in document.rules:
        errors += _rule_errors(f"rule {rule.name!r}", rule.environments, rule.conditions, environments)
    conditions = (condition for rule in document.rules for condition in rule.conditions)
    if not errors and (error := slow_environment_error(conditions, environments)):
        errors.append(error)
    if isinstance(document, Segment):
        errors += _segment_errors(document)
    return errors


def _depth_errors(document: FeatureDocument) -> Iterator[str]:
    if error := depth_error("defaultValue", document.default_value):
        yield error
    for rule in document.rules:
        if error := depth_error(f"rule {rule.name!r}: returnValue", rule.return_value):
            yield error


def pipeline_errors(
    pipeline: Pipeline, environments: Collection[str], regions: Collection[Region] = ()
) -> list[str]:
    """Return the errors of a pipeline; empty if it is valid.

    `regions` are those that a guardrail may be compared with.
    """
    rules = [rule for phase in pipeline.phases for rule in phase.rules]
    if error := patterns_error(condition for rule in rules for condition in rule.conditions):
        return [error]
    errors: list[str] = []
    for phase in pipeline.phases:
        for rule in phase.rules:
            where = f"phase {phase.id!r}, rule {rule.name!r}"
            errors += _rule_errors(where, rule.environments, rule.conditions, environments)
    conditions = (condition for rule in rules for condition in rule.conditions)
    if not errors and (error := slow_environment_error(conditions, environments)):
        errors.append(error)
    return [*errors, *guardrail_errors(pipeline, regions)]


def _rule_errors(
    where: str,
    named: Sequence[str] | None,
    conditions: Sequence[Condition],
    environments: Collection[str],
) -> Iterator[str]:
    for name in named or ():
        if name not in environments:
            known = ", ".join(sorted(environments)) or "none"
            yield f"{where}: unknown environment {name!r} (known: {known})"
    for index, condition in enumerate(conditions):
        for error in condition_errors(condition):
            yield f"{where}, condition {index + 1}: {error}"


def _segment_errors(segment: Segment) -> Iterator[str]:
    for id_, count in Counter(segment.ids).items():
        if count > 1:
            yield f"duplicate id {id_!r} ({count} times)"
    for rule in segment.rules:
        if not rule.return_value:
            yield f"rule {rule.name!r}: returnValue must be true; users who match a rule are in the segment"
