"""Versions such as `1.10.2-beta`, compared part by part."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import zip_longest

from pydantic import JsonValue

from .times import SPACE
from .values import parse_integer, user_text

#: A longer text does not count as a version.
VERSION_LENGTH_MAX = 1_000
#: Versions whose parts are remembered: a feature may compare one with thousands of others.
VERSIONS_REMEMBERED_MAX = 8
I128 = range(-(2**127), 2**127)
_PART = re.compile(rf"{SPACE}([+-]?[0-9]+){SPACE}")


def version_comparison(
    compare: Callable[[int, int], bool],
) -> Callable[[JsonValue], Callable[[object], bool]]:
    """Return the operator that compares a user's version with the target's.

    What follows the first `-` does not count, and a missing part is 0. Parts are compared from the left;
    if a part that is not an integer is reached, every comparison is false.
    """

    def operator(target: JsonValue) -> Callable[[object], bool]:
        if not isinstance(target, str):
            return lambda value: False
        wanted = _parts(target)

        def test(value: object) -> bool:
            text = user_text(value)
            order = None if text is None else _order(_parts(text), wanted)
            return order is not None and compare(order, 0)

        return test

    return operator


def is_version(text: str) -> bool:
    """Return whether a text is a version: every part of it that counts is an integer."""
    return None not in _parts(text)


@lru_cache(maxsize=VERSIONS_REMEMBERED_MAX)
def _parts(version: str) -> Sequence[int | None]:
    if len(version) > VERSION_LENGTH_MAX:
        return [None]
    return [_part(text) for text in version.split("-", 1)[0].split(".")]


def _part(text: str) -> int | None:
    match = _PART.fullmatch(text)
    found = parse_integer(match[1]) if match else None
    return found if found is not None and found in I128 else None


def _order(left: Sequence[int | None], right: Sequence[int | None]) -> int | None:
    """Return -1, 0 or 1; None if a part that is not an integer is reached."""
    for left_part, right_part in zip_longest(left, right, fillvalue=0):
        if left_part is None or right_part is None:
            return None
        if left_part != right_part:
            return -1 if left_part < right_part else 1
    return 0
