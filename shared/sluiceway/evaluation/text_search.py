"""Operators that look for any of many texts: the time grows with the user's text, not with their product."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from pydantic import JsonValue

from .list_texts import LIST_TEXTS
from .patterns import CheckAllowance
from .values import distinct_texts

#: Texts that are searched for one by one in about the time in which the index finds any of its texts.
SEARCHES_PER_INDEX = 80
#: Longer texts are searched for one by one: the index compares this much at each place of the user's text.
INDEXED_LENGTH_MAX = 256
#: A text of a user of at most so many characters takes nothing from the check's allowance.
FREE_LENGTH_MAX = 1_000


def contains_any(target: JsonValue, allowance: CheckAllowance | None = None) -> Callable[[object], bool]:
    """Return what tests whether one of the target's texts is in the user's, ignoring case.

    A check that has used up its allowance finds nothing. Without an allowance, each test has its own.
    """
    texts = tuple(distinct_texts(target)) if isinstance(target, list) else ()
    index = _without_extensions(text for text in texts if len(text) <= INDEXED_LENGTH_MAX)
    if len(index) > SEARCHES_PER_INDEX:
        texts = tuple(text for text in texts if len(text) > INDEXED_LENGTH_MAX)
        searches = len(texts) + SEARCHES_PER_INDEX
    else:
        index, searches = (), len(texts)
    length = max(map(len, index), default=0)

    def test(value: object) -> bool:
        text = LIST_TEXTS.lowered(value)
        if len(text) > FREE_LENGTH_MAX:
            characters = len(text) * searches
            if not (allowance or CheckAllowance()).take_characters(characters):
                return False
        return any(wanted in text for wanted in texts) or (length > 0 and _finds_any(index, length, text))

    return test


def contains_none(target: JsonValue, allowance: CheckAllowance | None = None) -> Callable[[object], bool]:
    """Return what tests that none of the target's texts is in the user's, ignoring case."""
    test = contains_any(target, allowance)
    return lambda value: not test(value)


def _without_extensions(texts: Iterable[str]) -> Sequence[str]:
    """Return texts in order, without those that begin with another one: where they are, that one is."""
    kept: list[str] = []
    for text in sorted(texts):
        if not kept or not text.startswith(kept[-1]):
            kept.append(text)
    return tuple(kept)


def _finds_any(index: Sequence[str], length: int, text: str) -> bool:
    """Return whether a text has one of the index's, none of which begins with another or exceeds `length`.

    What begins at a place can then only be the last text that is not greater than the rest from there.
    """
    for start in range(len(text)):
        position = bisect_right(index, text[start : start + length])
        if position and text.startswith(index[position - 1], start):
            return True
    return False
