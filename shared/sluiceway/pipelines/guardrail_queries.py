"""A guardrail's queries: checked when they are saved, filled in for a region when they are asked."""

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

#: What may stand in `{{ }}`; `region.<attribute>` as well.
PLACEHOLDERS = ("region", "regions", "environment", "feature", "pipeline", "phase", "trigger")
ATTRIBUTE = "region."
#: Regions of one guardrail, and of one baseline; of more, the first by name are asked.
REGIONS_MAX = 200
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class MissingAttribute(Exception):
    """A region has no such attribute."""


class GuardrailQuery(NamedTuple):
    """What to ask about one region."""

    region: str
    query: str
    samples: str | None = None
    #: Their mean is the baseline; None where there is nothing to compare with.
    baseline: tuple[str, ...] | None = None
    #: Why nothing can be asked.
    error: str | None = None


def query_errors(query: str) -> list[str]:
    """Return what is wrong with a query; empty where nothing is."""
    unknown = [
        word
        for word in _PLACEHOLDER.findall(query)
        if word not in PLACEHOLDERS and not word.startswith(ATTRIBUTE)
    ]
    if unknown:
        known = ", ".join((*PLACEHOLDERS, f"{ATTRIBUTE}<attribute>"))
        return [f"there is no {{{{ {unknown[0]} }}}}; there are {known}"]
    try:
        expression = promql_parser.parse(_PLACEHOLDER.sub("x", query))
    except ValueError as error:
        return [f"no PromQL: {error}"]
    while isinstance(expression, promql_parser.ParenExpr):
        expression = expression.expr
    if isinstance(expression, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        return ["it gives a range of values, not one: use a function over it, such as avg_over_time"]
    if isinstance(expression, promql_parser.StringLiteral):
        return ["it gives text, not a number"]
    return []


@lru_cache(maxsize=4_096)
def placeholders_of(query: str) -> frozenset[str]:
    """Return what stands in `{{ }}` in a query."""
    return frozenset(_PLACEHOLDER.findall(query))


def is_per_region(query: str) -> bool:
    """Say whether a query is about one region at a time."""
    return any(
        word in ("region", "environment") or word.startswith(ATTRIBUTE) for word in placeholders_of(query)
    )


def is_regional(query: str) -> bool:
    """Say whether a query can be asked of some regions and not of others."""
    return is_per_region(query) or "regions" in placeholders_of(query)


def guardrail_queries(
    guardrail: MetricGuardrail, trigger: Trigger, phase: Phase, regions: Iterable[Region]
) -> tuple[GuardrailQuery, ...]:
    """Return what to ask: for each region that the phase covers, where the query is about one.

    Empty where the phase covers no region that could be asked about.
    """
    known = sorted(regions, key=lambda region: region.name)
    covered = [region for region in known if _reaches((phase,), region)]
    words = placeholder_values(trigger.id, trigger.pipeline.id, phase.id)
    baseline = _baseline_regions(guardrail, trigger, known)
    if not is_regional(guardrail.query):
        return (_query(guardrail, EVERYWHERE, words, covered, baseline),)
    if not covered:
        return ()
    if not is_per_region(guardrail.query):
        return (_query(guardrail, EVERYWHERE, words, covered, baseline),)
    return tuple(
        _query(guardrail, region.name, words, [region], baseline) for region in covered[:REGIONS_MAX]
    )


def fill_without_regions(query: str, words: Mapping[str, str]) -> str:
    """Return a query with these words filled in, and nothing that depends on the region."""
    return _PLACEHOLDER.sub(lambda match: words.get(match[1], match[0]), query)


def uncovered_regions(phases: Iterable[Phase], regions: Iterable[Region]) -> list[Region]:
    """Return the regions that no part of these phases reaches."""
    listed = tuple(phases)
    return [region for region in regions if not _reaches(listed, region)]


def _reaches(phases: tuple[Phase, ...], region: Region) -> bool:
    return coverage(phases, Location.of(region)).extent is not Extent.NONE


def _baseline_regions(
    guardrail: MetricGuardrail, trigger: Trigger, regions: list[Region]
) -> list[Region] | None:
    if guardrail.baseline is None:
        return None
    wanted = guardrail.baseline.environments
    left = uncovered_regions(trigger.released, regions)
    return [region for region in left if not wanted or region.environment in wanted][:REGIONS_MAX]


def _query(
    guardrail: MetricGuardrail,
    name: str,
    words: Mapping[str, str],
    covered: list[Region],
    baseline: list[Region] | None,
) -> GuardrailQuery:
    try:
        query = _filled(guardrail.query, words, covered)
        samples = _filled(guardrail.min_samples.query, words, covered) if guardrail.min_samples else None
        compared = None if not baseline else _compared(guardrail.query, words, baseline)
    except MissingAttribute as error:
        return GuardrailQuery(name, guardrail.query, error=str(error))
    return GuardrailQuery(name, query, samples, compared)


def _compared(query: str, words: Mapping[str, str], baseline: list[Region]) -> tuple[str, ...]:
    if is_per_region(query):
        return tuple(dict.fromkeys(_filled(query, words, [region]) for region in baseline))
    return (_filled(query, words, baseline),)


def placeholder_values(trigger: str, pipeline: str, phase: str) -> dict[str, str]:
    """Return what stands for the words that do not depend on the region."""
    return {"feature": feature_of(trigger).name, "pipeline": pipeline, "phase": phase, "trigger": trigger}


def _filled(query: str, words: Mapping[str, str], regions: list[Region]) -> str:
    """Return the query with its placeholders filled in, each fit to stand inside quotes."""

    def fill(match: re.Match[str]) -> str:
        return _quoted(_value(match[1], words, regions))

    return _PLACEHOLDER.sub(fill, query)


def _value(word: str, words: Mapping[str, str], regions: list[Region]) -> str:
    if word in words:
        return words[word]
    if word == "regions":
        return "|".join(region.name for region in regions[:REGIONS_MAX])
    region = regions[0]
    if word == "region":
        return region.name
    if word == "environment":
        return region.environment
    attribute = word.removeprefix(ATTRIBUTE)
    if attribute not in region.attributes:
        raise MissingAttribute(f"region {region.name} has no attribute {attribute!r}")
    return str(region.attributes[attribute])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'").replace("\n", "\\n")
