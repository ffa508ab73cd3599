"""Random targets for every operator, with values of users that are likely to match."""

import datetime
from random import Random
from typing import Any, NamedTuple

from tests.conformance import random_values, regexes

NUMERIC = ("gt", "gte", "lt", "lte")
VERSION = ("version_gt", "version_gte", "version_lt", "version_lte", "version_eq", "version_neq")
MEMBER = ("any", "none", "any_case_sensitive", "none_case_sensitive")
PART = ("str_starts_with_any", "str_ends_with_any", "str_contains_any", "str_contains_none")
TIME = ("before", "after", "on")
EQUALITY = ("eq", "neq")
ARRAY = ("array_contains_any", "array_contains_none", "array_contains_all", "not_array_contains_all")
LIST = ("in_segment_list", "not_in_segment_list")
KNOWN = (*NUMERIC, *VERSION, *MEMBER, *PART, "str_matches", *TIME, *EQUALITY, *ARRAY, *LIST)
UNKNOWN = (None, "", "ANY", "Any", "equals", "encoded_any", "array_contains", "is_null", "anyof")

VERSIONS = [
    "1", "1.0", "1.0.0", "1.2", "1.2.3", "1.2.3-beta", "1.2.3-alpha.1", "1.10", "01.2", "+1.2", "-1.2",
    "1.-2", "1..2", "1.2.", ".1", "", "-", "1.a", "a.1", "1.2.x", " 1 . 2", "1.\u00a02", "1.2\n", "1.3.x",
    "2", "10.0.0", "v1.2", "1.2.3.4.5", "1,2", "1.99999999999999999999",
    "1.170141183460469231731687303715884105727", "1.170141183460469231731687303715884105728", "1.١", "0",
    "0.0", "-0", "1_0.2", "1.2+build", "1.2 -beta",
]  # fmt: skip

TIMES: list[Any] = [
    "2023-01-01T00:00:00Z", "2023-01-01 00:00:00Z", "2023-01-01t00:00:00z", "2023-01-01T00:00:00.000Z",
    "2023-01-01T00:00:00.999999Z", "2023-01-01T00:00:00+00:00", "2023-01-01T05:30:00+05:30",
    "2022-12-31T19:00:00-05:00", "2023-01-01T00:00:00\u221201:00", "2023-01-01T00:00:00+0000",
    "2023-01-01T00:00:00", "2023-01-01", "2023-01-01 00:00:00", "2023-1-1 0:0:0", "2023-1-10:0:0",
    "2023- 1- 1  0: 0: 0", "2023-01-0100:00:00", " 2023-01-01 00:00:00", "2023-01-01 00:00:00 ",
    "2023-01-01\t00:00:00", "2023 -01-01 00:00:00", "23-1-1 0:0:0", "+12023-01-01 00:00:00", "-1-1-1 0:0:0",
    "+2023-1-1 0:0:0", "02023-1-1 0:0:0", "0-1-1 0:0:0", "2023-02-29T00:00:00Z", "2024-02-29T00:00:00Z",
    "2023-13-01T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T23:59:60Z", "2023-01-01 12:30:60",
    "2023-01-01T23:59:61Z", "2023-01-01T00:00Z", "2023-01-01T00:00:00.Z", "2023-01-01T00:00:00,5Z",
    "2023-01-01T00:00:00+24:00", "2023-01-01T00:00:00+23:59", "2023-01-01T00:00:00+00:60",
    "1969-12-31T23:59:59Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T23:59:59Z",
    "1970-01-02T00:00:00Z", "1969-12-30T23:59:59Z", "1969-10-01 00:00:00", "1970-04-26 17:46:40",
    "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2099-06-01T12:00:00Z", "2099-06-01 12:00:00",
    "2001-09-09T01:46:40Z", "1e9", "1672531200", "1672531200000", "+1672531200000", "16725312000001",
    1672531200, 1672531200000, 1672531200000.0, 1672531200.5, 1672574400000, 1672617599999, 1672617600000, 0,
    -1, 1, 86399999, 86400000, -86400000, -86399999, 9999999999, 10000000000, -9999999999, -10000000000,
    4083998400000, 4083998400, 1e30, "nan", "inf", True, None, 2**63,
]  # fmt: skip


class Target(NamedTuple):
    """A target, and values of users to try against it."""

    value: Any
    hints: list[Any]


def target(rng: Random, operator: str | None, lists: dict[str, list[str]], *, dialect: bool) -> Target:
    """Return a target for `operator`; one in eight is of a type that the operator does not expect."""
    if rng.random() < 0.12:
        drawn = _of_any_kind(rng)
    elif operator in NUMERIC:
        drawn = _number(rng)
    elif operator in VERSION:
        drawn = _version(rng)
    elif operator in PART:
        drawn = _parts(rng)
    elif operator == "str_matches":
        pattern, texts = rng.choice(regexes.DIALECT if dialect and rng.random() < 0.5 else regexes.ORDINARY)
        drawn = Target(pattern, [*texts, random_values.text(rng)])
    elif operator in TIME:
        value = rng.choice(TIMES)
        drawn = Target(value, [value, *rng.sample(TIMES, 5), *_neighbours(rng, value)])
    elif operator in EQUALITY:
        value = random_values.anything(rng)
        drawn = Target(
            value, [value, value, random_values.varied(rng, value), random_values.varied(rng, value)]
        )
    elif operator in ARRAY:
        drawn = _array(rng)
    elif operator in LIST:
        name = rng.choice([*lists, "no such list"])
        drawn = Target(name, [*lists.get(name, []), random_values.scalar(rng)])
    else:
        drawn = _members(rng)
    return Target(_harmless(operator, drawn.value), drawn.hints)


def _number(rng: Random) -> Target:
    value = rng.choice((random_values.number, random_values.number_text))(rng)
    return Target(
        value,
        [value, random_values.varied(rng, value), random_values.number(rng), random_values.number_text(rng)],
    )


def _version(rng: Random) -> Target:
    value = rng.choice(VERSIONS)
    same = [value, value + ".0", value + "-rc", f"{value} ", f"0{value}"]
    return Target(random_values.varied(rng, value), [*same, *rng.sample(VERSIONS, 4)])


def _members(rng: Random) -> Target:
    value = random_values.array(rng)
    texts = [text for element in value for text in random_values.texts_of(element)]
    hints = [
        *value,
        *texts,
        *(random_values.recased(rng, text) for text in texts),
        random_values.scalar(rng),
        value,
    ]
    return Target(value, hints)


def _parts(rng: Random) -> Target:
    value = [
        rng.choice(("a", "us", "É", "ß", "Σ", "5", "bet", "@", ".", random_values.text(rng)))
        for _ in range(2)
    ]
    around = rng.choice(("", "x", "日", " "))
    hints = [around + random_values.recased(rng, part) + rng.choice(("", around)) for part in value]
    return Target(
        rng.choice((value, value, [*value, *random_values.array(rng)])), [*hints, random_values.scalar(rng)]
    )


def _array(rng: Random) -> Target:
    value = random_values.array(rng)
    texts = [rng.choice(random_values.texts_of(element)) for element in value]
    subset = rng.sample(value, rng.randint(0, len(value)))
    return Target(
        value,
        [value, texts, subset, [*texts, "more"], random_values.varied(rng, value), random_values.array(rng)],
    )


def _of_any_kind(rng: Random) -> Target:
    value = random_values.anything(rng)
    hints = [value, random_values.varied(rng, value), random_values.scalar(rng)]
    if isinstance(value, dict):
        hints += [random_values.recased(rng, key) for key in value]
    return Target(value, hints)


def _neighbours(rng: Random, value: Any) -> list[Any]:
    """Return times within about a day of a time, as users can write them."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 4.1e12:
        return []
    ms = int(value) + rng.choice((-86_400_000, -1, 0, 1, 3_600_000, 86_399_999))
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    written = moment.strftime(rng.choice(("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S")))
    return [ms, str(ms), ms // 1000, float(ms), written]


def _harmless(operator: str | None, value: Any) -> Any:
    """Remove elements that make the real SDK answer at random (`array_*` with "") or crash (`eq`)."""
    if operator in ARRAY and isinstance(value, list):
        return [element for element in value if element != ""]
    if operator in EQUALITY and isinstance(value, list):
        return list({_collision_key(element): element for element in value}.values())
    return value


def _collision_key(element: Any) -> str:
    """Return a key that is the same for all elements whose lower-cased texts could be equal."""
    text = element if isinstance(element, str) else random_values.json_text(element)
    try:
        return repr(float(text))
    except ValueError:
        return text.lower()
