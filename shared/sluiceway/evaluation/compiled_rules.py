"""Rule → who matches it, and what they get.

A rule whose conditions are all about the user itself is a tuple of tests. A rule that refers to other
features, or that holds a condition that this version does not support, is evaluated condition by condition
as the SDKs do: then the order matters, since an unsupported outcome shows how far the evaluation got.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ..contracts.rule_document import SpecCondition, SpecRule
from .bucketing import percentage_test
from .compiled_conditions import (
    ConditionTest,
    GroupTest,
    NestedGate,
    ProcessContext,
    UnsupportedCondition,
    always_true,
    compile_condition,
    experiment_group,
)
from .nested_gates import EvaluationRun
from .outcomes import UNRECOGNIZED, EvaluationOutcome
from .registry import FeatureRegistry
from .results import Reason
from .users import AnyUser, unit_id


def unsupported_condition(user: AnyUser) -> bool:
    """Placeholder for a condition that this version does not support."""
    return False


def missing_condition(user: AnyUser) -> bool:
    """Placeholder for a condition that is not in the condition map."""
    return False


CompiledCondition = ConditionTest | NestedGate | GroupTest
#: Tests whether the percentage of a rule includes a user; None: everyone.
PercentageTest = ConditionTest | None


@dataclass
class RuleProgress:
    """How far an evaluation got: the last condition's result, and the rule of the last nested gate."""

    value: bool = False
    #: None: there was no nested gate yet.
    rule_id: str | None = None


class CompiledRule(NamedTuple):
    """A rule, ready to be evaluated.

    `tests` is None if its `conditions` must be evaluated one by one, by a `RuleEvaluator`.
    """

    tests: tuple[ConditionTest, ...] | None
    conditions: tuple[CompiledCondition, ...]
    is_in_percentage: PercentageTest

    def includes(self, user: AnyUser) -> bool:
        """Return whether the percentage includes a user."""
        return self.is_in_percentage is None or self.is_in_percentage(user)


class RuleOutcomes(NamedTuple):
    """A rule and its outcomes."""

    rule: CompiledRule
    passed: EvaluationOutcome
    #: For users that the percentage excludes.
    failed: EvaluationOutcome
    #: The dynamic config that is evaluated instead of the rule.
    delegate: str | None

    @property
    def is_independent(self) -> bool:
        """Whether it is evaluated without any other feature."""
        return self.rule.tests is not None and self.delegate is None


class RuleCompiler(NamedTuple):
    """Compiles the rules of a set of specs."""

    find_condition: Callable[[str], SpecCondition | None]
    process: ProcessContext
    registry: FeatureRegistry

    def compile(self, rule: SpecRule, spec_salt: str) -> CompiledRule:
        """Return a rule, ready to be evaluated."""
        conditions = tuple(self._condition(id_) for id_ in rule.conditions)
        return CompiledRule(_tests(conditions), conditions, _percentage_test(rule, spec_salt))

    def _condition(self, id_: str) -> CompiledCondition:
        condition = self.find_condition(id_)
        if condition is None:
            return missing_condition
        try:
            return compile_condition(condition, self.process, self.registry)
        except UnsupportedCondition:
            return unsupported_condition


class RuleEvaluator(NamedTuple):
    """Evaluates rules condition by condition."""

    registry: FeatureRegistry

    def evaluate(self, rule: CompiledRule, user: AnyUser, run: EvaluationRun, progress: RuleProgress) -> bool:
        """Leave in `progress` whether a rule matches; return False if it is not supported."""
        matches, is_supported = True, True
        for condition in rule.conditions:
            if condition is missing_condition:
                return False
            is_supported &= self._condition(condition, user, run, progress)
            matches = matches and progress.value
        progress.value = matches
        return is_supported

    def _condition(
        self, condition: CompiledCondition, user: AnyUser, run: EvaluationRun, progress: RuleProgress
    ) -> bool:
        match condition:
            case NestedGate(gate, negated):
                entry = self.registry.gates.get(gate)
                outcome = run.nested_gate(gate, entry.evaluate, user) if entry else UNRECOGNIZED
                if outcome.evaluation.reason is Reason.UNSUPPORTED:
                    return False
                progress.value = outcome.passes is not negated
                progress.rule_id = outcome.evaluation.rule_id
            case GroupTest(experiment, test):
                progress.value = test(experiment_group(experiment, self.registry, user, run))
            case _:
                if condition is unsupported_condition:
                    return False
                progress.value = condition(user)
        return True


def _tests(conditions: tuple[CompiledCondition, ...]) -> tuple[ConditionTest, ...] | None:
    """Return the conditions if all of them are tests of the user; else None."""
    tests = tuple(
        condition
        for condition in conditions
        if not isinstance(condition, NestedGate | GroupTest)
        and condition not in (unsupported_condition, missing_condition)
    )
    if len(tests) < len(conditions):
        return None
    return tuple(test for test in tests if test is not always_true)


def _percentage_test(rule: SpecRule, spec_salt: str) -> PercentageTest:
    if rule.pass_percentage == 100:
        return None
    salt = rule.id if rule.salt is None else rule.salt
    return percentage_test(rule.pass_percentage, f"{spec_salt}.{salt}", unit_id(rule.id_type))
