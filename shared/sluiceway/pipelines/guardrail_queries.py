"""A guardrail's queries: checked when they are saved, filled in for each region when they are sent."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import promql_parser

from ..contracts.catalogue import Region
from ..contracts.feature import Trigger
from ..contracts.guardrails import MetricGuardrail
from ..contracts.identifiers import feature_of
from ..contracts.measurements import EVERYWHERE
from ..contracts.pipeline import Phase
from .segments import Extent, Location, coverage

#: What `{{ }}` may hold; `region.<attribute>` as well.
PLACEHOLDERS = ("region", "regions", "environment", "feature", "pipeline", "phase", "trigger")
ATTRIBUTE = "region."
#: Regions of one guardrail, and of one baseline; if there are more, only the first by name are queried.
REGIONS_MAX = 200
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class UnknownValue(Exception):
    """A placeholder of a query has no value."""


class GuardrailQuery(NamedTuple):
    """The queries of a guardrail for one region, ready to be sent."""

    region: str
    query: str
    samples: str | None = None
    #: The baseline is their mean; None if there is nothing to compare with.
    baseline: tuple[str, ...] | None = None
    #: Why nothing can be sent.
    error: str | None = None


def query_errors(query: str) -> list[str]:
    """Return what is wrong with a query; empty if it is valid."""
    unknown = [
        name
        for name in _PLACEHOLDER.findall(query)
        if name not in PLACEHOLDERS and not name.startswith(ATTRIBUTE)
    ]
    if unknown:
        known = ", ".join((*PLACEHOLDERS, f"{ATTRIBUTE}<attribute>"))
        return [f"unknown placeholder {{{{ {unknown[0]} }}}} (known: {known})"]
    try:
        expression = promql_parser.parse(_PLACEHOLDER.sub("x", query))
    except ValueError as error:
        return [f"invalid PromQL: {error}"]
    while isinstance(expression, promql_parser.ParenExpr):
        expression = expression.expr
    if isinstance(expression, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        return ["it returns a range of values, not one: put it in a function such as avg_over_time"]
    if isinstance(expression, promql_parser.StringLiteral):
        return ["it returns text, not a number: use an expression with a numeric value"]
    return []


@lru_cache(maxsize=4_096)
def placeholders_of(query: str) -> frozenset[str]:
    """Return the names in the `{{ }}` of a query."""
    return frozenset(_PLACEHOLDER.findall(query))


def is_per_region(query: str) -> bool:
    """Return whether a query is about one region at a time."""
    return any(
        name in ("region", "environment") or name.startswith(ATTRIBUTE) for name in placeholders_of(query)
    )


def is_regional(query: str) -> bool:
    """Return whether a query can be limited to some regions."""
    return is_per_region(query) or "regions" in placeholders_of(query)


def guardrail_queries(
    guardrail: MetricGuardrail, trigger: Trigger, phase: Phase, regions: Iterable[Region]
) -> tuple[GuardrailQuery, ...]:
    """Return the queries of a guardrail: one for each region that the phase covers, if it names the region.

    A query that names no region, or `regions`, is sent once. Empty if the query is regional and the phase
    covers none of `regions`.
    """
    known = sorted(regions, key=lambda region: region.name)
    covered = [region for region in known if _reaches((phase,), region)]
    values = placeholder_values(trigger.id, trigger.pipeline.id, phase.id)
    baseline = _baseline_regions(guardrail, trigger, known)
    if not is_regional(guardrail.query):
        return (_query(guardrail, EVERYWHERE, values, covered, baseline),)
    if not covered:
        return ()
    if not is_per_region(guardrail.query):
        return (_query(guardrail, EVERYWHERE, values, covered, baseline),)
    return tuple(
        _query(guardrail, region.name, values, [region], baseline) for region in covered[:REGIONS_MAX]
    )


def placeholder_values(trigger: str, pipeline: str, phase: str) -> dict[str, str]:
    """Return the values of the placeholders that do not depend on the region."""
    return {"feature": feature_of(trigger).name, "pipeline": pipeline, "phase": phase, "trigger": trigger}


def fill_without_regions(query: str, values: Mapping[str, str]) -> str:
    """Return a query with these placeholders filled in; the others stay."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), query)


def uncovered_regions(phases: Iterable[Phase], regions: Iterable[Region]) -> list[Region]:
    """Return the regions that none of these phases reaches, not even in part."""
    listed = tuple(phases)
    return [region for region in regions if not _reaches(listed, region)]


def _reaches(phases: tuple[Phase, ...], region: Region) -> bool:
    return coverage(phases, Location.of(region)).extent is not Extent.NONE


def _baseline_regions(
    guardrail: MetricGuardrail, trigger: Trigger, regions: list[Region]
) -> list[Region] | None:
    if guardrail.baseline is None:
        return None
    environments = guardrail.baseline.environments
    uncovered = uncovered_regions(trigger.released, regions)
    return [r for r in uncovered if not environments or r.environment in environments][:REGIONS_MAX]


def _query(
    guardrail: MetricGuardrail,
    name: str,
    values: Mapping[str, str],
    covered: list[Region],
    baseline: list[Region] | None,
) -> GuardrailQuery:
    try:
        query = _filled(guardrail.query, values, covered)
        samples = _filled(guardrail.min_samples.query, values, covered) if guardrail.min_samples else None
        baselines = _baseline_queries(guardrail.query, values, baseline) if baseline else None
    except UnknownValue as error:
        return GuardrailQuery(name, guardrail.query, error=str(error))
    return GuardrailQuery(name, query, samples, baselines)


def _baseline_queries(query: str, values: Mapping[str, str], baseline: list[Region]) -> tuple[str, ...]:
    if is_per_region(query):
        return tuple(dict.fromkeys(_filled(query, values, [region]) for region in baseline))
    return (_filled(query, values, baseline),)


def _filled(query: str, values: Mapping[str, str], regions: list[Region]) -> str:
    """Return the query with its placeholders filled in, escaped for a string in quotes."""
    return _PLACEHOLDER.sub(lambda match: _escaped(_value(match[1], values, regions)), query)


def _value(name: str, values: Mapping[str, str], regions: list[Region]) -> str:
    if name in values:
        return values[name]
    if name == "regions":
        return "|".join(region.name for region in regions[:REGIONS_MAX])
    if not regions:
        raise UnknownValue(f"{{{{ {name} }}}} has no value: the phase covers no region")
    region = regions[0]
    if name == "region":
        return region.name
    if name == "environment":
        return region.environment
    attribute = name.removeprefix(ATTRIBUTE)
    if attribute not in region.attributes:
        raise UnknownValue(f"region {region.name!r} has no attribute {attribute!r}")
    return str(region.attributes[attribute])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'").replace("\n", "\\n")
