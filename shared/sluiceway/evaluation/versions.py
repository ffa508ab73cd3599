"""Versions such as `1.10.2-beta`, compared part by part."""

import re
from collections.abc import Callable
from itertools import zip_longest

from pydantic import JsonValue

from .times import SPACE
from .values import parse_integer, user_text

I128 = range(-(2**127), 2**127)
_PART = re.compile(rf"{SPACE}([+-]?[0-9]+){SPACE}")


def compared_versions(
    compare: Callable[[int, int], bool],
) -> Callable[[JsonValue], Callable[[object], bool]]:
    """Return the operator that compares a user's version with the target's.

    What follows the first `-` does not count, and a missing part is 0. A part that is no integer, and
    is reached, makes every comparison false.
    """

    def prepare(target: JsonValue) -> Callable[[object], bool]:
        if not isinstance(target, str):
            return lambda value: False
        wanted = _parts(target)

        def test(value: object) -> bool:
            text = user_text(value)
            order = None if text is None else _order(_parts(text), wanted)
            return order is not None and compare(order, 0)

        return test

    return prepare


def is_version(text: str) -> bool:
    """Say whether every part of a text that counts is an integer."""
    return None not in _parts(text)


def _parts(version: str) -> list[int | None]:
    return [_part(text) for text in version.split("-", 1)[0].split(".")]


def _part(text: str) -> int | None:
    match = _PART.fullmatch(text)
    found = parse_integer(match[1]) if match else None
    return found if found is not None and found in I128 else None


def _order(one: list[int | None], other: list[int | None]) -> int | None:
    """Return -1, 0 or 1; None where a part that is no integer is reached."""
    for left, right in zip_longest(one, other, fillvalue=0):
        if left is None or right is None:
            return None
        if left != right:
            return -1 if left < right else 1
    return 0
