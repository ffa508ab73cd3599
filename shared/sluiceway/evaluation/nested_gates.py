"""Evaluations inside an evaluation: how deep they may go, and each gate only once."""

from collections.abc import Callable
from typing import Any, Protocol

from .outcomes import EvaluationOutcome
from .users import AnyUser

#: Levels of nested gates; the SDKs give up at the same one.
DEPTH_MAX = 64
#: Overrides and delegates that lead from one to the next.
HOPS_MAX = 64
#: Nested evaluations of one check; beyond it, the rules are a ladder.
NESTED_MAX = 10_000


class TooDeep(Exception):
    """Gates are nested deeper than the bound, or in a circle."""


class Evaluator(Protocol):
    """Answers for any user; `run` is None at the top."""

    def __call__(self, user: AnyUser, run: "EvaluationRun | None", /) -> EvaluationOutcome: ...


class EvaluationRun:
    """One check, from the top to its end."""

    __slots__ = ("_depth", "_hops", "_known", "_nested", "_peak", "interim_id", "resets")

    def __init__(self) -> None:
        #: Override rules that were asked so far, on this level of nesting.
        self.resets = 0
        #: What the newest unsupported verdict has for a rule; None: no nested gate gave it one.
        self.interim_id: str | None = None
        self._depth = self._peak = self._hops = self._nested = 0
        # Gate → its verdict, and how many levels it took below itself. None: nothing may be kept
        # any more, since a verdict hid that it went too deep, and would be another one elsewhere.
        self._known: dict[str, tuple[EvaluationOutcome, int]] | None = {}

    def nested(self, name: str, evaluate: Evaluator, user: AnyUser) -> EvaluationOutcome:
        """Return the verdict of a nested gate; `TooDeep` beyond the bounds."""
        if self._known and name in self._known:
            verdict, height = self._known[name]
            if self._depth + height > DEPTH_MAX:
                raise TooDeep
            self._peak = max(self._peak, self._depth + height)
            return verdict
        verdict, height = self._one_level_down(evaluate, user)
        if self._known is not None:
            self._known[name] = verdict, height
        return verdict

    def hop(self, evaluate: Evaluator, user: AnyUser) -> EvaluationOutcome:
        """Return the verdict of an override's target or a delegate; `TooDeep` beyond the bounds."""
        if self._hops >= HOPS_MAX:
            raise TooDeep
        self._hops += 1
        try:
            return evaluate(user, self)
        finally:
            self._hops -= 1

    def hide_failure(self) -> None:
        """Note that a `TooDeep` ended here, and somebody answers nonetheless."""
        self._known = None

    def _one_level_down(self, evaluate: Evaluator, user: AnyUser) -> tuple[EvaluationOutcome, int]:
        self._nested += 1
        if self._depth >= DEPTH_MAX or self._nested > NESTED_MAX:
            raise TooDeep
        outer_peak, resets = self._peak, self.resets
        self._depth += 1
        self._peak = self._depth
        try:
            verdict = evaluate(user, self)
            height = self._peak - self._depth + 1
        finally:
            self._depth -= 1
            self._peak = max(outer_peak, self._peak)
            self.resets = resets
        return verdict, height


class LazyEvaluator:
    """A feature's place among the others: what answers now, compiled when it is asked for first."""

    __slots__ = ("_compile", "_source", "evaluate")

    evaluate: Evaluator

    def __init__(self, compile_: Callable[[Any], Evaluator], source: object) -> None:
        self._compile = compile_
        self._source = source

    def __getattr__(self, name: str) -> Evaluator:
        """Fill `evaluate`. Two threads may both do so; they come to the same, and either may stay."""
        if name != "evaluate":
            raise AttributeError(name)
        self.evaluate = evaluate = self._compile(self._source)
        return evaluate


#: Name → what answers by it, now.
FindEvaluator = Callable[[str], Evaluator | None]
