"""Numbers that clients send as text."""

import re

#: Digits of a number; a time in milliseconds has 13.
DIGITS_MAX = 15
_NUMBER = re.compile(f"[0-9]{{1,{DIGITS_MAX}}}")


class InvalidNumber(ValueError):
    """A text is not a number as a client may send it."""


def whole_number(name: str, text: str, maximum: int = 10**DIGITS_MAX - 1) -> int:
    """Return a number of ASCII digits, without a sign; `InvalidNumber` if it is none, or too large."""
    if not _NUMBER.fullmatch(text) or int(text) > maximum:
        raise InvalidNumber(f"invalid {name} {text[:30]!r}: use a whole number from 0 to {maximum}")
    return int(text)
