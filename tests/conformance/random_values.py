"""Unusual JSON values, for targets and for users.

Numbers around -2⁶³ are left out, since `on` crashes the real SDK with them; so are objects with several keys
inside arrays, since their text has no fixed order there.
"""

import json
from random import Random
from typing import Any

TEXTS = [
    "", " ", "a", "A", "b", "us", "US", "Us", "uS", "us ", "alpha", "Alpha", "ALPHA", "alphabet", "bet",
    "beta-1", "true", "True", "false", "null", "NULL", "undefined", "ß", "ss", "SS", "ẞ", "É", "é",
    "e\u0301", "ΑΣ", "ας", "ασ", "Σ", "İ", "i̇", "ı", "I", "ﬁ", "FI", "ǅ", "Ⅷ", "日本", "🚀", "👩‍👩‍👧", "a\nb",
    "tab\t", "q\"uote", "back\\slash", "\x00", "\x1f", "\x7f", "\u2028", "a,b", "[]", "{}", '["a"]',
    '["a","b"]', "[1,1.0,null]", '{"k":"v"}', "user@example.com", "USER@EXAMPLE.COM", "10.0.0.1", "x" * 300,
    "production", "staging",
]  # fmt: skip

NUMBER_TEXTS = [
    "0", "-0", "+0", "1", "+1", "-1", "01", "1.0", "1.", ".5", "-.5", "0.5", "5", "5.0", "1e3", "1E3",
    "1e+3", "1e-7", "1e400", "-1e400", "inf", "Inf", "-inf", "+infinity", "INFINITY", "nan", "NaN", "-nan",
    " 1", "1 ", "1_000", "1,000", "0x10", "١٢", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "100000000000000000000", ".", "+",
    "-", "e5", "1e", "1e5.0", "--1", "+-1", "1000", "1000.0", "1f", "0.1", "0.30000000000000004",
]  # fmt: skip

NUMBERS: list[int | float] = [
    0, -0.0, 0.0, 1, 1.0, -1, -1.0, 2, 2.5, 5, 5.0, 7, 7.0, 10, 100, 999, 1000, 0.1, 0.30000000000000004,
    1e-5, 1e-6, 1.25e-6, 1e-7, 5e-324, 123456789, 1e15, 1e16, 1e17, 1e21, 1.5e300, 1.7976931348623157e308,
    2**31, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, 2**63, 2.0**63, 2**64 - 1, 2**64, 10**20, -(2**53) - 1,
    -(10**18), 1700000000, 1700000000000, 1700000000.5, 123456789.123, 3.0000000000000004, 12345678901234567,
    0.00001234,
]  # fmt: skip

KEYS = ["a", "A", "b", "k", "Key", "", "1", "é", "İ", "x y"]


def scalar(rng: Random) -> Any:
    return rng.choice((text, text, number_text, number, number, boolean, nothing))(rng)


def text(rng: Random) -> str:
    return rng.choice(TEXTS)


def number_text(rng: Random) -> str:
    return rng.choice(NUMBER_TEXTS)


def number(rng: Random) -> int | float:
    draw = rng.random()
    if draw < 0.7:
        return rng.choice(NUMBERS)
    if draw < 0.85:
        return rng.randint(-1200, 1200)
    return rng.choice((rng.uniform(-10, 10), rng.uniform(-1, 1) * 10.0 ** rng.randint(-12, 17)))


def boolean(rng: Random) -> bool:
    return rng.random() < 0.5


def nothing(rng: Random) -> None:
    return None


def array(rng: Random, depth: int = 1) -> list[Any]:
    return [_element(rng, depth) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 5)))]


def mapping(rng: Random, depth: int = 1, keys_max: int = 3) -> dict[str, Any]:
    keys = rng.sample(KEYS, rng.randint(0, keys_max))
    return {key: _element(rng, depth) for key in keys}


def anything(rng: Random) -> Any:
    draw = rng.random()
    if draw < 0.7:
        return scalar(rng)
    return array(rng) if draw < 0.87 else mapping(rng)


def _element(rng: Random, depth: int) -> Any:
    draw = rng.random()
    if depth == 0 or draw < 0.8:
        return scalar(rng)
    return array(rng, depth - 1) if draw < 0.9 else mapping(rng, depth - 1, keys_max=1)


def json_text(value: Any) -> str:
    """Return compact JSON, nearly as the SDK writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def texts_of(value: Any) -> list[str]:
    """Return texts that an evaluator may convert `value` to."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return [str(int(value)), str(value)]
    return [json_text(value)]


def recased(rng: Random, value: str) -> str:
    return rng.choice((value, value.upper(), value.lower(), value.swapcase(), value.title()))


def varied(rng: Random, value: Any) -> Any:
    """Return `value`, or something close to it that may or may not count as equal."""
    if isinstance(value, bool):
        return rng.choice((value, not value, json_text(value)))
    if isinstance(value, int | float):
        near = [value, value + 1, value - 1, str(value), float(value) if abs(value) < 2**60 else value]
        return rng.choice((value, *near))
    if isinstance(value, str):
        return rng.choice((value, value, recased(rng, value), value + rng.choice((" ", "x", "\n", "0"))))
    if isinstance(value, list) and value:
        index = rng.randrange(len(value))
        changed = [*value[:index], varied(rng, value[index]), *value[index + 1 :]]
        return rng.choice(
            (value, value, changed, value[::-1], value[1:], [*value, scalar(rng)], json_text(value))
        )
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        changed_value = {**value, key: varied(rng, value[key])}
        return rng.choice((value, value, changed_value, {recased(rng, k): v for k, v in value.items()}))
    return value
