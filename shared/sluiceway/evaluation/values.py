"""Conversion of users' values and of targets before they are compared. The two sides are not symmetrical.

The text of a user's number is plain decimal, and a text that reads as a number counts as one. The text of
an element of a target list is its JSON.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pydantic import JsonValue

I64_MIN, I64_MAX = -(2**63), 2**63 - 1
U64_MAX = 2**64 - 1
#: Exponents between which a JSON number is written without one.
PLAIN_MIN, PLAIN_MAX = -5, 16

_FLOAT = re.compile(
    r"[+-]?(inf|infinity|nan|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?)", re.ASCII | re.IGNORECASE
)
_INTEGER = re.compile(r"([+-]?)0*([0-9]{1,40})")


def number(value: object) -> float | None:
    """Return a value (user's or target's) as a number; None if it is not one. A bool is not a number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _finite_double(value)
    if isinstance(value, str) and _FLOAT.fullmatch(value):
        return float(value)
    return None


def integer(value: object) -> int | None:
    """Return a user's value as a signed 64-bit integer; None if it is not one. A bool is not an integer."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and I64_MIN <= value <= I64_MAX:
        return value
    if isinstance(value, int | float):
        return _integral(_finite_double(value))
    found = parse_integer(value) if isinstance(value, str) else None
    return found if found is not None and I64_MIN <= found <= I64_MAX else None


def truncated(value: float) -> int:
    """Return a number truncated toward zero, as a signed 64-bit integer.

    NaN is 0; a number outside 64 bits becomes the nearest limit.
    """
    if math.isnan(value):
        return 0
    return int(min(max(value, -(2.0**63)), 2.0**63)) if value < 2.0**63 else I64_MAX


def user_text(value: object) -> str | None:
    """Return the text of a user's value; None if it is missing, an object, or nested too deeply."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return plain_decimal(_finite_double(value))
    if isinstance(value, Sequence):
        try:
            return json_text(value, integer_max=I64_MAX)
        except RecursionError:
            return None
    return None


def plain_decimal(value: float) -> str:
    """Return the shortest digits that read back as `value`, never with an exponent or `.0`.

    If two are equally near, this returns the larger one, as Rust does; Python's `repr` the even one.
    """
    digits = Decimal(repr(value))
    step = Decimal((0, (1,), int(digits.as_tuple().exponent))).copy_sign(digits)
    if (Decimal(value) - digits) * 2 == step and float(digits + step) == value:
        digits += step
    text = format(digits, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def json_text(value: object, *, integer_max: int = U64_MAX) -> str:
    """Return compact JSON: no spaces, non-ASCII left as it is, floats with a fraction.

    Integers beyond `integer_max` or 64 bits are written as floats. What JSON cannot express is null.
    """
    if isinstance(value, bool | None):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int) and I64_MIN <= value <= integer_max:
        return str(value)
    if isinstance(value, int | float):
        return _json_float(_nearest_double(value))
    if isinstance(value, Mapping):
        members = (f"{json_text(str(k))}:{json_text(v, integer_max=integer_max)}" for k, v in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(json_text(element, integer_max=integer_max) for element in value) + "]"
    return "null"


def representable(value: JsonValue) -> JsonValue:
    """Return a value as every SDK can represent it: integers beyond 64 bits as floats."""
    if isinstance(value, dict):
        return {key: representable(member) for key, member in value.items()}
    if isinstance(value, list):
        return [representable(element) for element in value]
    if isinstance(value, int) and not isinstance(value, bool) and not I64_MIN <= value <= U64_MAX:
        return _nearest_double(value)
    return value


def parse_integer(text: str) -> int | None:
    """Return the integer that ASCII digits with an optional sign spell; None for any other text.

    Also None for more than 40 significant digits.
    """
    match = _INTEGER.fullmatch(text)
    return int(match[1] + match[2]) if match else None


def element_text(value: object) -> str:
    """Return the text of an element of a target list: a string unchanged, anything else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def distinct_texts(target: Sequence[JsonValue]) -> dict[str, str]:
    """Return the texts of a target list by their lower-cased form; of those that collide, the last."""
    return {text.lower(): text for text in map(element_text, target)}


def _json_float(value: float) -> str:
    """Return a float with a fraction, or with an exponent if it is very large or small."""
    if math.isnan(value):
        return "0"
    if math.isinf(value):
        return str(I64_MAX if value > 0 else I64_MIN)
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


def _finite_double(value: float) -> float:
    """Return a number as a double: NaN is 0, infinity is the limit of 64 bits."""
    double = _nearest_double(value)
    if math.isnan(double):
        return 0.0
    return double if math.isfinite(double) else math.copysign(2.0**63, double)


def _integral(value: float) -> int | None:
    cut = truncated(value)
    return cut if float(cut) == value else None


def _nearest_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
