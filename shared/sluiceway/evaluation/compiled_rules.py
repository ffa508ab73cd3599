"""Rule → who matches it, and what they get.

A rule whose conditions are all about the user itself is a row of tests. A rule that refers to other
features, or that holds what this version does not know, is walked through condition by condition as
the SDKs do: then the order matters, since a verdict on what is not supported shows how far it came.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ..contracts.rule_document import SpecCondition, SpecRule
from .bucketing import percentage_test
from .condition_tests import (
    ConditionTest,
    GroupTest,
    Host,
    Library,
    NestedGate,
    UnsupportedCondition,
    compile_condition,
    everyone,
    group_of,
)
from .nested_gates import EvaluationRun
from .outcomes import UNRECOGNIZED, EvaluationOutcome
from .results import Reason
from .users import AnyUser, unit_id


def unknown(user: AnyUser) -> bool:
    """Stands where this version does not know a condition."""
    return False


def missing(user: AnyUser) -> bool:
    """Stands where a condition is not in the map."""
    return False


#: One condition of a rule that is walked through.
WalkStep = ConditionTest | NestedGate | GroupTest
#: Whom the percentage of a rule lets in; None: everyone.
PercentageTest = ConditionTest | None


@dataclass
class WalkState:
    """How far a walk came: the last condition's result, and the rule of the last nested gate."""

    value: bool = False
    #: None: there was no nested gate yet.
    rule_id: str | None = None


class CompiledRule(NamedTuple):
    """A rule that is compiled. `tests` is None where it must be walked through in `steps`."""

    tests: tuple[ConditionTest, ...] | None
    steps: tuple[WalkStep, ...]
    within: PercentageTest

    def lets_in(self, user: AnyUser) -> bool:
        """Say whether the percentage covers a user."""
        return self.within is None or self.within(user)


class RuleOutcomes(NamedTuple):
    """A rule and its verdicts."""

    rule: CompiledRule
    passed: EvaluationOutcome
    #: For whom the percentage leaves out.
    failed: EvaluationOutcome
    #: The dynamic config that answers in the rule's place.
    delegate: str | None

    @property
    def is_plain(self) -> bool:
        """Whether it takes no other feature to decide."""
        return self.rule.tests is not None and self.delegate is None


class RuleCompiler(NamedTuple):
    """Compiles the rules of a set of specs."""

    condition: Callable[[str], SpecCondition | None]
    host: Host
    library: Library

    def rule(self, rule: SpecRule, spec_salt: str) -> CompiledRule:
        """Return a rule, ready to be asked."""
        steps = tuple(self._step(self.condition(id_)) for id_ in rule.conditions)
        return CompiledRule(_tests(steps), steps, _within(rule, spec_salt))

    def settle(self, rule: CompiledRule, user: AnyUser, run: EvaluationRun, state: WalkState) -> bool:
        """Leave in `state` whether a rule matches; return False where it is not supported."""
        holds, supported = True, True
        for step in rule.steps:
            if step is missing:
                return False
            supported &= self._take(step, user, run, state)
            holds = holds and state.value
        state.value = holds
        return supported

    def _take(self, step: WalkStep, user: AnyUser, run: EvaluationRun, state: WalkState) -> bool:
        match step:
            case NestedGate(gate, negated):
                entry = self.library.gates.get(gate)
                verdict = run.nested(gate, entry.evaluate, user) if entry else UNRECOGNIZED
                if verdict.evaluation.reason is Reason.UNSUPPORTED:
                    return False
                state.value = verdict.passes is not negated
                state.rule_id = verdict.evaluation.rule_id
            case GroupTest(experiment, test):
                state.value = test(group_of(experiment, self.library, user, run))
            case _:
                if step is unknown:
                    return False
                state.value = step(user)
        return True

    def _step(self, condition: SpecCondition | None) -> WalkStep:
        if condition is None:
            return missing
        try:
            return compile_condition(condition, self.host, self.library)
        except UnsupportedCondition:
            return unknown


def _tests(steps: tuple[WalkStep, ...]) -> tuple[ConditionTest, ...] | None:
    tests = tuple(
        step
        for step in steps
        if not isinstance(step, NestedGate | GroupTest) and step not in (unknown, missing)
    )
    return tuple(test for test in tests if test is not everyone) if len(tests) == len(steps) else None


def _within(rule: SpecRule, spec_salt: str) -> PercentageTest:
    if rule.pass_percentage == 100:
        return None
    salt = rule.id if rule.salt is None else rule.salt
    return percentage_test(rule.pass_percentage, f"{spec_salt}.{salt}", unit_id(rule.id_type))
