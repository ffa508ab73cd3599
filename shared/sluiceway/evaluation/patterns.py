"""Regular expressions of `str_matches`: an unanchored search, in bounded time and memory.

What a pattern may be is bounded when it is saved and when it is published; here the same bounds keep a
process safe from a publisher that does not check.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import regex
from pydantic import JsonValue

from ..contracts.conditions import ConditionOperator
from ..contracts.rule_document import SpecCondition, SpecSet
from .regex_dialect import InvalidPattern, PatternTranslator
from .values import user_text

#: Seconds of a search. Nearly all take less, whatever the pattern, and cost a check nothing else.
SEARCH_SECONDS_MAX = 0.001
#: Seconds that a search gets once more if those were not enough. One that takes longer returns false, as one
#: beyond the backtracking limit does in the SDKs.
SLOW_SEARCH_SECONDS_MAX = 0.02
#: Slow searches of one check; after that, patterns that are still to be tested match nothing.
SLOW_SEARCHES_MAX = 3
#: Seconds of all slow searches of one request, however many features it checks.
REQUEST_SECONDS_MAX = 0.1
#: Characters that a check passes over in search of the texts of lists (`str_contains_any`): those of the
#: user's text once for each search. After that, lists that are still to be tested contain nothing.
CHECK_CHARACTERS_MAX = 10_000_000
#: The same for one request, however many features it checks.
REQUEST_CHARACTERS_MAX = 50_000_000
#: A longer text of a user matches no pattern: the engine passes over parts of it without looking at the time.
TEXT_LENGTH_MAX = 4_096
#: Patterns of one feature, and of one pipeline.
PATTERNS_MAX = 100
#: Their items together, with repetitions written out.
PATTERNS_SIZE_MAX = 10_000
#: Patterns of which a process remembers whether they may be served.
ERRORS_REMEMBERED_MAX = 1_000
#: Features and pipelines whose patterns one rule document can hold: base, candidate and the phases.
SOURCES_OF_DOCUMENT = 3


@dataclass
class RequestAllowance:
    """What the searches of one request may still use, however many features it checks."""

    seconds: float = REQUEST_SECONDS_MAX
    characters: int = REQUEST_CHARACTERS_MAX

    def take(self, seconds: float) -> bool:
        """Use up these seconds; return False if fewer are left."""
        if self.seconds < seconds:
            return False
        self.seconds -= seconds
        return True

    def take_characters(self, characters: int) -> bool:
        """Use up these characters; return False if fewer are left."""
        if self.characters < characters:
            return False
        self.characters -= characters
        return True


class CheckAllowance(threading.local):
    """What the searches of the current check may still use, one for each thread."""

    def __init__(self) -> None:
        self._searches = SLOW_SEARCHES_MAX
        self._characters = CHECK_CHARACTERS_MAX
        self._request = RequestAllowance()
        self._is_shared = False

    def begin(self) -> None:
        """Begin a check: its nested gates share what it may use."""
        self._searches = SLOW_SEARCHES_MAX
        self._characters = CHECK_CHARACTERS_MAX
        if not self._is_shared:
            self._request = RequestAllowance()

    @contextmanager
    def of(self, request: RequestAllowance) -> Iterator[None]:
        """Let the checks inside the block use what is left of a request. Nothing may wait in the block."""
        self._request, self._is_shared = request, True
        try:
            yield
        finally:
            self._is_shared = False

    @property
    def is_used_up(self) -> bool:
        return self._searches <= 0

    def take(self) -> bool:
        """Count a slow search; return whether it gets its time."""
        self._searches -= 1
        return self._request.take(SLOW_SEARCH_SECONDS_MAX)

    def take_characters(self, characters: int) -> bool:
        """Return whether a check may pass over so many characters more."""
        if self._characters < characters or not self._request.take_characters(characters):
            return False
        self._characters -= characters
        return True


#: What evaluators begin at each check.
CHECK_ALLOWANCE = CheckAllowance()


def matches(target: JsonValue, allowance: CheckAllowance | None = None) -> Callable[[object], bool]:
    """Return the operator `str_matches` for a pattern.

    A value without a text does not match, and an invalid pattern matches nothing. Without an allowance,
    each search has its own.
    """
    try:
        search = compile_pattern(target).search if isinstance(target, str) else None
    except InvalidPattern:
        search = None
    if search is None:
        return lambda value: False

    def test(value: object) -> bool:
        text = user_text(value)
        if text is None or len(text) > TEXT_LENGTH_MAX:
            return False
        return _search(search, text, allowance or CheckAllowance())

    return test


def _search(search: Callable[..., object], text: str, allowance: CheckAllowance) -> bool:
    if allowance.is_used_up:
        return False
    try:
        return search(text, timeout=SEARCH_SECONDS_MAX) is not None
    except TimeoutError:
        pass
    try:
        return allowance.take() and search(text, timeout=SLOW_SEARCH_SECONDS_MAX) is not None
    except TimeoutError:
        return False


def compile_pattern(pattern: str) -> "regex.Pattern[str]":
    """Return a pattern of the dialect, compiled; `InvalidPattern` if it is not valid, or too large."""
    translated = PatternTranslator(pattern).translate()
    try:
        return regex.compile(f"(?V1-f){translated}", cache_pattern=False)
    except (regex.error, RecursionError, OverflowError) as error:
        raise InvalidPattern(f"invalid pattern {pattern!r}: {error}") from error


def slow_text(pattern: str, texts: Iterable[str]) -> str | None:
    """Return the first text in which a valid pattern takes long to be searched for; None without one."""
    search = compile_pattern(pattern).search
    for text in texts:
        try:
            search(text, timeout=SEARCH_SECONDS_MAX)
        except TimeoutError:
            return text
    return None


@lru_cache(maxsize=ERRORS_REMEMBERED_MAX)
def pattern_error(pattern: str) -> str | None:
    """Return why a pattern must not be served: it is invalid, or could take unbounded time; else None."""
    translator = PatternTranslator(pattern)
    try:
        translator.translate()
        compile_pattern(pattern)
    except InvalidPattern as error:
        return str(error)
    return translator.unbounded_reason


def is_pattern(condition: SpecCondition) -> bool:
    """Return whether a condition searches for a pattern."""
    return condition.operator == ConditionOperator.STR_MATCHES


def patterns_error(specs: SpecSet) -> str | None:
    """Return why the patterns of a rule document are too many, or too large together; else None."""
    targets = {str(each.target_value) for each in specs.condition_map.values() if is_pattern(each)}
    return pattern_set_error(targets, SOURCES_OF_DOCUMENT) if targets else None


def pattern_set_error(patterns: Iterable[str], sources: int = 1) -> str | None:
    """Return why patterns must not be served together: there are too many; None if they may be.

    They come from so many `sources`, each a feature or a pipeline. Nothing is compiled.
    """
    size = 0
    for count, pattern in enumerate(patterns, start=1):
        if count > PATTERNS_MAX * sources:
            return f"there are more than {PATTERNS_MAX * sources} patterns (`str_matches`); use fewer"
        size += _size(pattern)
    if size > PATTERNS_SIZE_MAX * sources:
        return (
            f"the patterns (`str_matches`) have {size} items with their repetitions written out; at most "
            f"{PATTERNS_SIZE_MAX * sources} are allowed together"
        )
    return None


def _size(pattern: str) -> int:
    translator = PatternTranslator(pattern)
    try:
        translator.translate()
    except InvalidPattern:  # it is never compiled
        return 0
    return translator.size
