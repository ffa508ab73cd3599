"""Evaluations inside an evaluation: how deep they may go, and each gate only once."""

from collections.abc import Callable
from typing import Protocol

from .outcomes import EvaluationOutcome
from .users import AnyUser

#: Levels of nested gates; the SDKs have the same limit.
DEPTH_MAX = 64
#: Overrides and delegates in a chain.
REDIRECTS_MAX = 64
#: Nested evaluations of one check; only gates that multiply at each level need more.
NESTED_MAX = 10_000


class TooDeep(Exception):
    """Gates are nested deeper than the bound, or in a cycle."""


class Evaluator(Protocol):
    """Evaluates a feature for any user; `run` is None at the top."""

    def __call__(self, user: AnyUser, run: "EvaluationRun | None", /) -> EvaluationOutcome: ...


#: Name → what evaluates the feature now.
FindEvaluator = Callable[[str], Evaluator | None]


class EvaluationRun:
    """One check, from its start to its end."""

    __slots__ = ("_cache", "_deepest", "_depth", "_nested", "_redirects", "override_checks", "reported_rule")

    def __init__(self) -> None:
        #: Override rules that were evaluated so far, on this level of nesting.
        self.override_checks = 0
        #: The rule id that the newest unsupported outcome reports; None: no nested gate gave it one.
        self.reported_rule: str | None = None
        self._depth = self._deepest = self._redirects = self._nested = 0
        # Gate → its outcome, and how many levels it took below itself. None: caching has stopped.
        self._cache: dict[str, tuple[EvaluationOutcome, int]] | None = {}

    def nested_gate(self, name: str, evaluate: Evaluator, user: AnyUser) -> EvaluationOutcome:
        """Return the outcome of a nested gate; `TooDeep` beyond the bounds."""
        if self._cache and name in self._cache:
            outcome, levels = self._cache[name]
            if self._depth + levels > DEPTH_MAX:
                raise TooDeep
            self._deepest = max(self._deepest, self._depth + levels)
            return outcome
        outcome, levels = self._evaluate_nested(evaluate, user)
        if self._cache is not None:
            self._cache[name] = outcome, levels
        return outcome

    def redirect(self, evaluate: Evaluator, user: AnyUser) -> EvaluationOutcome:
        """Return the outcome of an override's target or a delegate; `TooDeep` beyond the bounds."""
        if self._redirects >= REDIRECTS_MAX:
            raise TooDeep
        self._redirects += 1
        try:
            return evaluate(user, self)
        finally:
            self._redirects -= 1

    def stop_caching(self) -> None:
        """Forget cached outcomes: an outcome that hides a `TooDeep` could differ at another depth."""
        self._cache = None

    def _evaluate_nested(self, evaluate: Evaluator, user: AnyUser) -> tuple[EvaluationOutcome, int]:
        self._nested += 1
        if self._depth >= DEPTH_MAX or self._nested > NESTED_MAX:
            raise TooDeep
        outer_deepest, override_checks = self._deepest, self.override_checks
        self._depth += 1
        self._deepest = self._depth
        try:
            outcome = evaluate(user, self)
            levels = self._deepest - self._depth + 1
        finally:
            self._depth -= 1
            self._deepest = max(outer_deepest, self._deepest)
            self.override_checks = override_checks
        return outcome, levels
