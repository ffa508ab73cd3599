"""`> 0.02`, `>= 1 and < 5`, `< 10% or > 90%`: the small grammar of a guardrail's conditions.

```
condition   = all-of { "or" all-of }
all-of      = comparison { "and" comparison }
comparison  = [ "value" ] ( ">" | ">=" | "<" | "<=" | "==" | "!=" ) number [ "%" ]
```
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
EXAMPLE = "write for example '> 0.02' or '>= 1 and < 5'"
_COMPARISON = re.compile(
    r"\s*(?:value\b\s*)?(>=|<=|==|!=|>|<)\s*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,3})?)\s*(%?)\s*",
    re.ASCII | re.IGNORECASE,
)
_JOINT = re.compile(r"(and|or)\b", re.IGNORECASE)


class ThresholdComparison(NamedTuple):
    """One number that a value is held against."""

    operator: str
    number: float

    def holds(self, value: float) -> bool:
        return OPERATORS[self.operator](value, self.number)


class Threshold(NamedTuple):
    """A condition; `value` meets it where all comparisons of one alternative hold."""

    text: str
    alternatives: tuple[tuple[ThresholdComparison, ...], ...]

    def holds(self, value: float) -> bool:
        return any(all(comparison.holds(value) for comparison in one) for one in self.alternatives)

    @property
    def limit(self) -> float:
        """The first number of the condition, to draw a line at."""
        return self.alternatives[0][0].number


@lru_cache(maxsize=4_096)
def parse_threshold(text: str) -> Threshold:
    """Return the condition that `text` says; `ValueError`, with what is wrong, where it says none."""
    alternatives: list[list[ThresholdComparison]] = [[]]
    for joint, comparison in _comparisons(text):
        if joint == "or":
            alternatives.append([])
        alternatives[-1].append(comparison)
    return Threshold(text, tuple(tuple(one) for one in alternatives))


def _comparisons(text: str) -> Iterator[tuple[str, ThresholdComparison]]:
    """Give each comparison with the word before it; the first one has none."""
    joint, place = "", 0
    while True:
        match = _COMPARISON.match(text, place)
        if match is None:
            raise ValueError(f"{text!r} is no condition, from {text[place:]!r} on; {EXAMPLE}")
        sign, number, percent = match.groups()
        yield joint, ThresholdComparison(sign, float(number) / 100 if percent else float(number))
        place = match.end()
        if place == len(text):
            return
        word = _JOINT.match(text, place)
        if word is None:
            raise ValueError(f"{text!r}: 'and' or 'or' is expected before {text[place:]!r}; {EXAMPLE}")
        joint, place = word[0].lower(), word.end()
