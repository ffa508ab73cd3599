"""Points in time, as users and targets write them: milliseconds since 1970, UTC.

What counts as a time, including the odd cases, is what the Server Core SDKs accept (chrono's RFC 3339,
and `%Y-%m-%d %H:%M:%S`).
"""

import re
from collections.abc import Callable
from operator import gt, lt

from pydantic import JsonValue

from .values import I64_MAX, I64_MIN, integer, number, truncated

DAY_MS = 86_400_000
#: A smaller number of a user is in seconds, a larger one in milliseconds.
SECONDS_BELOW = 10_000_000_000
#: A user's text of another length, in bytes, is not read as a date.
DATE_BYTES = range(8, 21)
YEARS = range(-262_143, 262_143)

SPACE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*+"
_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+\-\u2212])([0-9]{2}):([0-9]{2}))"
)
_PLAIN = re.compile(
    rf"{SPACE}([+-][0-9]++|[0-9]{{1,4}}+)-{SPACE}([0-9]{{1,2}}+)-{SPACE}([0-9]{{1,2}}+)"
    rf"{SPACE}([0-9]{{1,2}}+):{SPACE}([0-9]{{1,2}}+):{SPACE}([0-9]{{1,2}}+)"
)
_DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_time(text: str) -> int | None:
    """Return the milliseconds since 1970 that a text names; None if it is not a point in time."""
    whole = integer(text)
    if whole is not None:
        return whole
    if match := _RFC_3339.fullmatch(text):
        *parts, fraction, sign, hours, minutes = match.groups()
        offset = _offset_ms(sign, hours, minutes)
        start = _milliseconds(*map(int, parts))
        if start is None or offset is None:
            return None
        return start + int(((fraction or "") + "000")[:3]) - offset
    if match := _PLAIN.fullmatch(text):
        year, *rest = match.groups()
        return _milliseconds(int(year), *map(int, rest)) if len(year) <= 8 else None
    return None


def time_comparison(compare: Callable[[int, int], bool]) -> Callable[[JsonValue], Callable[[object], bool]]:
    """Return the operator that compares a user's time with the target's, both in milliseconds."""

    def operator(target: JsonValue) -> Callable[[object], bool]:
        limit = _target_ms(target)
        if limit is None:
            return lambda value: False
        return lambda value: (found := _user_ms(value)) is not None and compare(found, limit)

    return operator


def _same_day(left: int, right: int) -> bool:
    """Return whether two times lie on one day; the days before and after 1970-01-01 00:00 count as one."""
    return _day(left) == _day(right)


before, after, on = time_comparison(lt), time_comparison(gt), time_comparison(_same_day)


def _day(ms: int) -> int:
    return ms // DAY_MS if ms >= 0 else -(-ms // DAY_MS)


def _target_ms(target: JsonValue) -> int | None:
    if isinstance(target, str) and (found := parse_time(target)) is not None:
        return found
    value = number(target)
    return None if value is None else truncated(value)


def _user_ms(value: object) -> int | None:
    found = _user_time(value) if isinstance(value, str) else integer(value)
    if found is None or abs(found) >= SECONDS_BELOW:
        return found
    return min(max(found * 1_000, I64_MIN), I64_MAX)


def _user_time(text: str) -> int | None:
    whole = integer(text)
    if whole is not None:
        return whole
    if len(text.encode("utf-8", "surrogatepass")) not in DATE_BYTES or not {"-", "T", ":"} & set(text):
        return None
    return parse_time(text)


def _offset_ms(sign: str | None, hours: str, minutes: str) -> int | None:
    if sign is None:
        return 0
    if int(hours) > 23 or int(minutes) > 59:
        return None
    return (int(hours) * 60 + int(minutes)) * 60_000 * (1 if sign == "+" else -1)


def _milliseconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    """Return the milliseconds since 1970 of a date and time; None if it does not exist (February 30).

    A leap second (60) counts as the start of the next minute.
    """
    if year not in YEARS or not 1 <= month <= 12 or not 1 <= day <= _days_in(year, month):
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    return ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1_000


def _days_in(year: int, month: int) -> int:
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS_IN_MONTH[month - 1] + leap


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970-01-01, in the proleptic Gregorian calendar.

    https://howardhinnant.github.io/date_algorithms.html#days_from_civil; `datetime` begins with year 1.
    """
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
