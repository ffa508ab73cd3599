"""Durations as people write them: `30m`, `1h30m`, `500ms`."""

import re
from typing import Any

MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: Centuries: no field takes a longer duration.
LONGEST_MS = 10**14
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> int:
    """Return the length of `text` in whole milliseconds.

    `ValueError` if it is not a sequence of numbers with the units ms, s, m, h or d.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ValueError(f"invalid duration {text!r}: write for example 30m, 1h30m or 500ms")
    return round(min(sum(float(number) * MILLISECONDS[unit] for number, unit in parts), LONGEST_MS))


def convert_durations(data: Any, *fields: str) -> Any:
    """Return a document with `timeInterval: 30m` as `timeIntervalMs: 1800000`, for each of these fields.

    `ValueError` if a field is given in both forms, or is not a duration.
    """
    if not isinstance(data, dict):
        return data
    changed = dict(data)
    for field in fields:
        if field in changed:
            if f"{field}Ms" in changed or _snake(field) in changed:
                raise ValueError(f"give {field} or {field}Ms, not both")
            changed[f"{field}Ms"] = parse_duration(str(changed.pop(field)))
    return changed


def _snake(field: str) -> str:
    return re.sub(r"([A-Z])", lambda match: f"_{match[0].lower()}", field) + "_ms"


def format_duration(length_ms: int) -> str:
    """Return a length as a person would write it: `90000` is `1m30s`."""
    if length_ms <= 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, length_ms = divmod(length_ms, MILLISECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])
