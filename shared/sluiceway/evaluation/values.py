"""What a user's value and a target are compared as. The two sides are not symmetrical.

A user's value has a text in plain decimal and counts as a number where it reads as one; a target
array has the JSON text of its elements.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pydantic import JsonValue

I64_MIN, I64_MAX = -(2**63), 2**63 - 1
#: Exponents between which a JSON number is written without one.
PLAIN_MIN, PLAIN_MAX = -5, 16

_FLOAT = re.compile(r"[+-]?(inf|infinity|nan|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?)", re.IGNORECASE)


def number(value: object) -> float | None:
    """Return a value (user's or target's) as a number; None where it is none. A bool is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _nearest_double(value)
    if isinstance(value, float):
        return value
    if isinstance(value, str) and _FLOAT.fullmatch(value):
        return float(value)
    return None


def user_text(value: object) -> str | None:
    """Return the text of a user's value; None where it has none (missing, an object)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return plain_decimal(_as_double(value))
    if isinstance(value, Sequence):
        return json_text(value)
    return None


def plain_decimal(value: float) -> str:
    """Return the shortest digits that give `value` back, never with an exponent or `.0`."""
    if math.isnan(value):
        return "0"
    if math.isinf(value):
        return str(I64_MAX if value > 0 else I64_MIN)
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def json_text(value: object) -> str:
    """Return compact JSON: no spaces, non-ASCII left as it is, floats with a fraction."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return _json_float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if I64_MIN <= value < 2**64 else _json_float(float(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json_text(str(k))}:{json_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(json_text(element) for element in value) + "]"
    return json.dumps(value)


def element_text(value: object) -> str:
    """Return the text of an element of a target: a string as it is, others as JSON."""
    return value if isinstance(value, str) else json_text(value)


def distinct_texts(target: Sequence[JsonValue]) -> dict[str, str]:
    """Return the texts of a target array by their lower-cased form; of those that collide, the last."""
    return {text.lower(): text for text in map(element_text, target)}


def _json_float(value: float) -> str:
    """Write a float with a fraction, or with an exponent where it is very large or small."""
    if not math.isfinite(value):
        return "null"
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    point = len(digits) + exponent
    if PLAIN_MIN < point <= PLAIN_MAX:
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else f"{text}.0"
    first, *rest = (str(digit) for digit in digits)
    mantissa = f"{first}.{''.join(rest)}" if rest else first
    return f"{'-' if sign else ''}{mantissa}e{point - 1}"


def _as_double(value: int | float) -> float:
    return _nearest_double(value) if isinstance(value, int) else value


def _nearest_double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
