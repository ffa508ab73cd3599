"""Who a rule or a phase covers in one place, with everything decided that can be decided there.

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
    """The part of a place that a segment covers.

    `remainders` holds, where it is partly covered, the user conditions of each rule that may match.
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
    """Return the conditions that are left for the SDK; None where the rule matches nobody here."""
    if environments and place.environment not in environments:
        return None
    open_: list[Condition] = []
    for condition in conditions:
        verdict = _verdict(condition, place)
        if verdict is False:
            return None
        if verdict is None:
            open_.append(condition)
    return tuple(open_)


def coverage(phases: Iterable[Phase], place: Location) -> Coverage:
    """Return which part of a place the segments of these phases cover together."""
    remainders: list[Remainder] = []
    for phase in phases:
        for index, rule in enumerate(phase.rules):
            open_ = remainder(rule.environments, rule.conditions, place)
            if open_ == ():
                return Coverage(Extent.FULLY)
            if open_ is not None:
                remainders.append(Remainder(f"{phase.id}/{index}", open_))
    return Coverage(Extent.PARTLY, tuple(remainders)) if remainders else Coverage(Extent.NONE)


def _verdict(condition: Condition, place: Location) -> bool | None:
    match condition.type:
        case ConditionType.PUBLIC:
            return True
        case ConditionType.ENVIRONMENT_TIER:
            return _test(condition, place.environment)
        case ConditionType.CUSTOM_FIELD if condition.field and condition.field in place.attributes:
            return _test(condition, place.attributes[condition.field])
        case _:
            return None


def _test(condition: Condition, value: Scalar) -> bool:
    target = condition.target_value
    return compile_test(condition.operator or "", list(target) if isinstance(target, tuple) else target)(
        value
    )
