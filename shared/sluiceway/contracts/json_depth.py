"""How deep a JSON value is nested, found out without calling oneself for each level."""

import re

from pydantic import JsonValue

#: Levels of a value that is stored or sent on; the official SDKs answer `{}` somewhere past 125.
DEPTH_MAX = 120

#: The level on which the members of a list in an object are.
MEMBER_DEPTH = 3

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def depth_of(value: object) -> int:
    """Return the levels of lists and objects in a value; 0 for any other."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        each, depth = stack.pop()
        if isinstance(each, dict):
            stack += [(inner, depth + 1) for inner in each.values()]
        elif isinstance(each, list | tuple):
            stack += [(inner, depth + 1) for inner in each]
        else:
            continue
        deepest = max(deepest, depth)
    return deepest


def is_too_deep(text: bytes, depth_max: int = DEPTH_MAX) -> bool:
    """Return whether a JSON text is nested too deeply to be read; whatever is not JSON is not."""
    if text.count(b"[") + text.count(b"{") <= depth_max:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, delete=_NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > depth_max:
            return True
    return False


def depth_error(where: str, value: JsonValue) -> str | None:
    """Return why a value must not be stored; None if it may be."""
    if (depth := depth_of(value)) > DEPTH_MAX:
        return f"{where} is nested {depth} levels deep; at most {DEPTH_MAX} are allowed: official SDKs fail"
    return None


def without_deep_members(text: bytes, instead: bytes) -> bytes:
    """Return a JSON object with `instead` for each member of a list or object in it that is too deep.

    So one alert of a group, or one label of a group, is lost, and not the group.
    """
    kept: list[bytes] = []
    depth = deepest = start = end = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if (bracket := match[0]) in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
            if depth == MEMBER_DEPTH:
                start, deepest = match.start(), depth
        elif bracket in (b"]", b"}"):
            if depth == MEMBER_DEPTH and deepest > DEPTH_MAX:
                kept += (text[end:start], instead)
                end = match.end()
            depth -= 1
    return b"".join((*kept, text[end:]))
