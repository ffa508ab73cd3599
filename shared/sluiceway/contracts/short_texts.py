"""Texts that are cut by their bytes in JSON, where a character takes one to six."""

import json

#: The end of a text that was cut.
CUT = "…"


def json_bytes(text: str) -> int:
    """Return the bytes of a text in JSON, in UTF-8, without its quotes."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - 2


def start_of(text: str, bytes_max: int) -> str:
    """Return a text, or its start if it has more than `bytes_max` bytes in JSON (at least 3)."""
    if json_bytes(text) <= bytes_max:
        return text
    left = bytes_max - json_bytes(CUT)
    for index, character in enumerate(text):
        left -= json_bytes(character)
        if left < 0:
            return text[:index] + CUT
    raise AssertionError("a text is as long as its characters")
