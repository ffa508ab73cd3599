"""Looks at header fields as they came: to decode all of them takes longer than to answer some requests."""

from collections.abc import Iterable


def header(fields: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """Return the first value of a field; None without one. All names are in lower case."""
    for name, value in fields:
        if name == wanted:
            return value
    return None
