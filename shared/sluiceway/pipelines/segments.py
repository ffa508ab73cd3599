"""Whom a rule or a phase covers in one region, with everything decided that can be decided there.

Conditions on the environment and on the attributes of a region are decided here; conditions on the
user stay, for the SDK.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from ..contracts.catalogue import Region
from ..contracts.conditions import Condition, ConditionType, Scalar
from ..contracts.pipeline import Phase
from ..evaluation.operators import compile_test

#: Condition types that every region decides; `custom_field` is decided by regions with that attribute.
DECIDED_PER_REGION = frozenset({ConditionType.PUBLIC, ConditionType.ENVIRONMENT_TIER})


class Location(NamedTuple):
    """What is known of a region when rules are published."""

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

    If that is a part of its users, `remainders` holds the user conditions of each rule that may match.
    """

    extent: Extent
    remainders: tuple["Remainder", ...] = ()


class Remainder(NamedTuple):
    """The conditions of one rule of a phase that are left for the SDK."""

    name: str
    conditions: tuple[Condition, ...]


def remainder(
    environments: Sequence[str] | None, conditions: Sequence[Condition], place: Location
) -> tuple[Condition, ...] | None:
    """Return the conditions that are left for the SDK; None if the rule matches nobody here."""
    if environments and place.environment not in environments:
        return None
    left: list[Condition] = []
    for condition in conditions:
        holds = _decide(condition, place)
        if holds is False:
            return None
        if holds is None:
            left.append(condition)
    return tuple(left)


def coverage(phases: Iterable[Phase], place: Location) -> Coverage:
    """Return which part of a region the segments of these phases cover together."""
    remainders: list[Remainder] = []
    for phase in phases:
        for index, rule in enumerate(phase.rules):
            left = remainder(rule.environments, rule.conditions, place)
            if left == ():
                return Coverage(Extent.FULLY)
            if left is not None:
                remainders.append(Remainder(f"{phase.id}/{index}", left))
    return Coverage(Extent.PARTLY, tuple(remainders)) if remainders else Coverage(Extent.NONE)


def _decide(condition: Condition, place: Location) -> bool | None:
    """Return whether a condition holds in a place; None if only the SDK can tell."""
    match condition.type:
        case ConditionType.PUBLIC:
            return True
        case ConditionType.ENVIRONMENT_TIER:
            return _holds(condition, place.environment)
        case ConditionType.CUSTOM_FIELD if condition.field and condition.field in place.attributes:
            return _holds(condition, place.attributes[condition.field])
        case _:
            return None


def _holds(condition: Condition, value: Scalar) -> bool:
    target = condition.target_value
    test = compile_test(condition.operator or "", list(target) if isinstance(target, tuple) else target)
    return test(value)
