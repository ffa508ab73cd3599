"""Features by name, as rules refer to one another."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .nested_gates import Evaluator


class LazyEvaluator:
    """A feature's evaluator, compiled when it is first used."""

    __slots__ = ("_compile", "_source", "evaluate")

    evaluate: Evaluator

    def __init__(self, compile_: Callable[[Any], Evaluator], source: object) -> None:
        self._compile = compile_
        self._source = source

    def __getattr__(self, name: str) -> Evaluator:
        """Fill `evaluate`. Two threads may both do so: the results are equal, and either may be kept."""
        if name != "evaluate":
            raise AttributeError(name)
        self.evaluate = evaluate = self._compile(self._source)
        return evaluate


@dataclass
class FeatureRegistry:
    """Everything that rules may refer to by name, as it is now."""

    gates: dict[str, LazyEvaluator] = field(default_factory=dict)
    configs: dict[str, LazyEvaluator] = field(default_factory=dict)
    #: List → the keys of its members (`member_key`).
    id_lists: dict[str, frozenset[str]] = field(default_factory=dict)
