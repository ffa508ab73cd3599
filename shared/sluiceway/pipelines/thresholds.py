"""The conditions of guardrails: `> 0.02`, `>= 1 and < 5`, `< 10% or > 90%`.

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
EXAMPLE = "use for example '> 0.02' or '>= 1 and < 5'"
_COMPARISON = re.compile(
    r"\s*(?:value\b\s*)?(>=|<=|==|!=|>|<)\s*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,3})?)\s*(%?)\s*",
    re.ASCII | re.IGNORECASE,
)
_CONJUNCTION = re.compile(r"(and|or)\b", re.IGNORECASE)


class ThresholdComparison(NamedTuple):
    """A comparison of a value with a number."""

    operator: str
    number: float

    def holds(self, value: float) -> bool:
        return OPERATORS[self.operator](value, self.number)


class Threshold(NamedTuple):
    """A condition: a value meets it if all comparisons of at least one alternative hold."""

    text: str
    alternatives: tuple[tuple[ThresholdComparison, ...], ...]

    def holds(self, value: float) -> bool:
        return any(all(comparison.holds(value) for comparison in all_of) for all_of in self.alternatives)

    @property
    def limit(self) -> float:
        """The first number of the condition, which charts draw a line at."""
        return self.alternatives[0][0].number


@lru_cache(maxsize=4_096)
def parse_threshold(text: str) -> Threshold:
    """Return the condition in `text`; `ValueError` with an example if it is invalid."""
    alternatives: list[list[ThresholdComparison]] = [[]]
    for conjunction, comparison in _comparisons(text):
        if conjunction == "or":
            alternatives.append([])
        alternatives[-1].append(comparison)
    return Threshold(text, tuple(tuple(all_of) for all_of in alternatives))


def _comparisons(text: str) -> Iterator[tuple[str, ThresholdComparison]]:
    """Yield each comparison with the `and` or `or` before it; the first one has none."""
    conjunction, start = "", 0
    while True:
        match = _COMPARISON.match(text, start)
        if match is None:
            raise ValueError(f"invalid condition {text!r}: {text[start:]!r} is not a comparison; {EXAMPLE}")
        sign, number, percent = match.groups()
        yield conjunction, ThresholdComparison(sign, float(number) / 100 if percent else float(number))
        start = match.end()
        if start == len(text):
            return
        word = _CONJUNCTION.match(text, start)
        if word is None:
            raise ValueError(
                f"invalid condition {text!r}: 'and' or 'or' is missing before {text[start:]!r}; {EXAMPLE}"
            )
        conjunction, start = word[0].lower(), word.end()
