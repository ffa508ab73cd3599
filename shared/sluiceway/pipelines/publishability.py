"""What a change would publish, in every phase and every region, before it is saved.

What cannot be published would be found out by the publisher only, while the bakes run. The cost is bounded:
nothing is projected for each region. Regions of one environment differ in what their attributes decide, and
every decision makes a document smaller; so a document with nothing decided is at least as large as theirs.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from ..contracts.catalogue import Region
from ..contracts.conditions import ConditionType
from ..contracts.events import FeatureEvent
from ..contracts.feature import FeatureRule
from ..contracts.pipeline import Phase, PhaseRule
from ..contracts.rule_document import RuleDocument
from .message_limits import SAVED_DOCUMENT_BYTES_MAX
from .projection import full_document, partial_document
from .publish_checks import document_errors, size_errors
from .segments import Location, PartialRule, coverage


class Unpublishable(NamedTuple):
    """Why a change cannot be published."""

    errors: tuple[str, ...]
    is_too_large: bool


def unpublishable(
    event: FeatureEvent,
    environments: Collection[str],
    regions: Collection[Region],
    bytes_max: int = SAVED_DOCUMENT_BYTES_MAX,
) -> Unpublishable | None:
    """Return why what an event saves could not be published in some phase and region; None if it could."""
    for where, document in _largest_documents(event, environments, regions, bytes_max):
        if errors := document_errors(document, bytes_max):
            located = tuple(f"{where}: {error}" for error in errors)
            return Unpublishable(located, is_too_large=any(size_errors(document, bytes_max)))
    return None


def _largest_documents(
    event: FeatureEvent, environments: Collection[str], regions: Collection[Region], bytes_max: int
) -> Iterator[tuple[str, RuleDocument]]:
    """Yield documents that are at least as large as all that may be published, and where that is."""
    names = sorted({*environments, *(region.environment for region in regions)})
    groups = [[name] for name in names] if _tells_environments_apart(event) else [names] if names else []
    for group in groups:
        undecided = Location(group[0], {})
        yield f"environment {', '.join(group)}", full_document(event, 0, undecided)
        there = [region for region in regions if region.environment in group]
        if event.feature.candidate and (parts := _parts(event, undecided)):
            document = partial_document(event, 0, undecided, parts)
            if document_errors(document, bytes_max):  # otherwise no region has to be looked at
                yield from _largest_partial(event, undecided, there)


def _largest_partial(
    event: FeatureEvent, undecided: Location, regions: Collection[Region]
) -> Iterator[tuple[str, RuleDocument]]:
    """Yield the document of the region with the longest override rules, if a phase covers one partly."""
    found = [(_parts(event, Location.of(region)), region.name) for region in regions]
    partly = [(parts, name) for parts, name in found if parts]
    if not partly:
        return
    parts, name = max(partly, key=lambda each: (sum(map(_size, each[0])), each[1]))
    phases = ", ".join(dict.fromkeys(part.name.rpartition("/")[0] for part in parts))
    where = f"region {name}, where phase {phases} releases it to a part of the users, beside the live version"
    yield where, partial_document(event, 0, undecided, parts)


def _parts(event: FeatureEvent, location: Location) -> tuple[PartialRule, ...]:
    """Return every part of the users to which some phase may release the candidate.

    Phases may be skipped, so one that covers everybody does not count.
    """
    trigger = event.feature.trigger
    phases: tuple[Phase, ...] = trigger.pipeline.phases if trigger else ()
    return tuple(part for phase in phases for part in coverage((phase,), location).partial_rules)


def _tells_environments_apart(event: FeatureEvent) -> bool:
    """Return whether environments may receive different documents."""
    feature = event.feature
    rules: list[FeatureRule | PhaseRule] = []
    for spec in (feature.base, feature.candidate):
        rules += spec.rules if spec else ()
    for phase in feature.trigger.pipeline.phases if feature.trigger else ():
        rules += phase.rules
    return any(
        rule.environments or any(c.type is ConditionType.ENVIRONMENT_TIER for c in rule.conditions)
        for rule in rules
    )


def _size(part: PartialRule) -> int:
    return len(part.name) + sum(len(condition.to_json()) for condition in part.conditions)
