"""What differs between two texts, line by line."""

import difflib

LOOKS = {"+": "plus", "-": "minus"}


def diff_lines(before: str, after: str) -> list[tuple[str, str]]:
    """Return all lines of both texts with `+`, `-` or a blank in front, and the class of each."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [(line, LOOKS.get(line[:1], "")) for line in lines if not line.startswith("?")]
