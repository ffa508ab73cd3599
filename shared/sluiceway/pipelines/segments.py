"""Whom a rule or a phase covers in one region, with everything decided that can be decided there.

Conditions on the environment and on the attributes of a region are decided here; conditions on the
user are left for the SDK.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from ..contracts.catalogue import Region
from ..contracts.conditions import Condition, ConditionOperator, ConditionType, Scalar
from ..contracts.pipeline import Phase
from ..evaluation.operators import compile_test

#: Condition types that every region decides; `custom_field` is decided by regions with that attribute.
DECIDED_PER_REGION = frozenset({ConditionType.PUBLIC, ConditionType.ENVIRONMENT_TIER})


#: Patterns, each with the value of a region, of which a process remembers whether they match.
MATCHES_REMEMBERED_MAX = 10_000


class Location(NamedTuple):
    """Environment and attributes of a region."""

    environment: str
    attributes: Mapping[str, Scalar]

    @classmethod
    def of(cls, region: Region) -> "Location":
        return cls(region.environment, region.attributes)


class Extent(StrEnum):
    """How much of a region a segment covers."""

    NONE = "none"
    #: some of its users
    PARTLY = "partly"
    FULLY = "fully"


class Coverage(NamedTuple):
    """The part of a region that a segment covers.

    If that is a part of its users, `partial_rules` holds the user conditions of each rule that may match.
    """

    extent: Extent
    partial_rules: tuple["PartialRule", ...] = ()


class PartialRule(NamedTuple):
    """The user conditions of one rule of a phase, which are left for the SDK."""

    name: str
    conditions: tuple[Condition, ...]


def remaining_conditions(
    environments: Sequence[str] | None, conditions: Sequence[Condition], location: Location
) -> tuple[Condition, ...] | None:
    """Return the conditions that are left for the SDK; None if the rule matches nobody here."""
    if environments and location.environment not in environments:
        return None
    left: list[Condition] = []
    for condition in conditions:
        holds = _decide(condition, location)
        if holds is False:
            return None
        if holds is None:
            left.append(condition)
    return tuple(left)


def coverage(phases: Iterable[Phase], location: Location) -> Coverage:
    """Return which part of a region the segments of these phases cover together."""
    partial_rules: list[PartialRule] = []
    for phase in phases:
        for index, rule in enumerate(phase.rules):
            left = remaining_conditions(rule.environments, rule.conditions, location)
            if left == ():
                return Coverage(Extent.FULLY)
            if left is not None:
                partial_rules.append(PartialRule(f"{phase.id}/{index}", left))
    return Coverage(Extent.PARTLY, tuple(partial_rules)) if partial_rules else Coverage(Extent.NONE)


def _decide(condition: Condition, location: Location) -> bool | None:
    """Return whether a condition holds in a region; None if that depends on the user."""
    match condition.type:
        case ConditionType.PUBLIC:
            return True
        case ConditionType.ENVIRONMENT_TIER:
            return _holds(condition, location.environment)
        case ConditionType.CUSTOM_FIELD if condition.field and condition.field in location.attributes:
            return _holds(condition, location.attributes[condition.field])
        case _:
            return None


def _holds(condition: Condition, value: Scalar) -> bool:
    target = condition.target_value
    if condition.operator == ConditionOperator.STR_MATCHES and isinstance(target, str):
        return _is_found(target, value)
    test = compile_test(condition.operator or "", list(target) if isinstance(target, tuple) else target)
    return test(value)


@lru_cache(maxsize=MATCHES_REMEMBERED_MAX, typed=True)
def _is_found(pattern: str, value: Scalar) -> bool:
    """Return whether a pattern matches a value of a region; one that takes long is searched for once."""
    return compile_test(ConditionOperator.STR_MATCHES, pattern)(value)
