"""A line-by-line diff of two texts."""

import difflib

CSS_CLASSES = {"+": "plus", "-": "minus"}


def diff_lines(before: str, after: str) -> list[tuple[str, str]]:
    """Return all lines of both texts, each with `+`, `-` or a space in front, and with its CSS class."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [(line, CSS_CLASSES.get(line[:1], "")) for line in lines if not line.startswith("?")]
