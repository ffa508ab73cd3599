"""Regular expressions of `str_matches`: an unanchored search, in bounded time."""

from collections.abc import Callable

import regex
from pydantic import JsonValue

from .regex_dialect import InvalidPattern, PatternTranslator
from .values import user_text

#: A search that takes longer returns false, as one beyond the backtracking limit does in the SDKs.
SEARCH_SECONDS_MAX = 0.05
PATTERN_LENGTH_MAX = 1_000


def matches(target: JsonValue) -> Callable[[object], bool]:
    """Return the operator `str_matches` for a pattern.

    A value without a text does not match, and an invalid pattern matches nothing.
    """
    try:
        search = compile_pattern(target).search if isinstance(target, str) else None
    except InvalidPattern:
        search = None
    if search is None:
        return lambda value: False

    def test(value: object) -> bool:
        text = user_text(value)
        if text is None:
            return False
        try:
            return search(text, timeout=SEARCH_SECONDS_MAX) is not None
        except TimeoutError:
            return False

    return test


def compile_pattern(pattern: str) -> "regex.Pattern[str]":
    """Return a pattern of the dialect, compiled; `InvalidPattern` if it is not valid."""
    translated = PatternTranslator(pattern).translate()
    try:
        return regex.compile(f"(?V1-f){translated}")
    except (regex.error, RecursionError, OverflowError) as error:
        raise InvalidPattern(f"invalid pattern {pattern!r}: {error}") from error


def pattern_error(pattern: str) -> str | None:
    """Return why a pattern must not be served: it is invalid, or could take unbounded time; else None."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        return f"the pattern has {len(pattern)} characters; at most {PATTERN_LENGTH_MAX} are allowed"
    translator = PatternTranslator(pattern)
    try:
        translator.translate()
        compile_pattern(pattern)
    except InvalidPattern as error:
        return str(error)
    return translator.unbounded_reason
