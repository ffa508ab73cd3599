"""In which environments a rule may match, found out cheaply: its author may not be allowed to change it.

What would have to be compiled first, or is invalid, counts as if it might match everywhere.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from ..contracts.conditions import Condition, ConditionOperator, ConditionType
from ..contracts.feature import FeatureRule
from ..contracts.pipeline import PhaseRule
from ..evaluation.operators import compile_test

#: Tells whether a condition holds in an environment.
EnvironmentTest = Callable[[str], bool]


class EnvironmentScope(NamedTuple):
    """Where a rule may match."""

    environments: frozenset[str]
    tests: tuple[EnvironmentTest, ...]

    @classmethod
    def of(cls, rule: FeatureRule | PhaseRule) -> Self:
        """Return the scope of a rule; each of its conditions is prepared once."""
        tests = (environment_test(condition) for condition in rule.conditions)
        return cls(frozenset(rule.environments or ()), tuple(test for test in tests if test))

    def may_include(self, environment: str) -> bool:
        """Return whether the rule may match somebody in an environment."""
        if self.environments and environment not in self.environments:
            return False
        return all(test(environment) for test in self.tests)


def environment_test(condition: Condition) -> EnvironmentTest | None:
    """Return what tells where a condition holds; None if that cannot be told by the environment alone."""
    operator = ConditionOperator.parse(condition.operator)
    if condition.type is not ConditionType.ENVIRONMENT_TIER or operator in (
        None,
        ConditionOperator.STR_MATCHES,
    ):
        return None
    target = condition.target_value
    return compile_test(operator, list(target) if isinstance(target, tuple) else target)


def open_conditions(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Return the conditions that are not decided by the environment."""
    return tuple(c for c in conditions if c.type is not ConditionType.PUBLIC and environment_test(c) is None)
