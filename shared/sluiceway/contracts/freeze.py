"""Freeze: when and where no phase starts."""

import re
from datetime import date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .bounded_lists import FIRST_ERROR, at_most
from .identifiers import Name, RegionName
from .models import AuthoredModel

WINDOWS_MAX = 50
SCOPE_MAX = 100

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT = tuple(day[:3] for day in DAYS)
MINUTES_A_DAY = 24 * 60
MINUTES_A_WEEK = 7 * MINUTES_A_DAY
_WEEK_TIME = re.compile(r"([A-Za-z]+) +(\d{1,2}):(\d{2})")
#: Outside these years, a conversion between time zones can overflow.
YEARS = range(1970, 9_999)


def week_time(text: str) -> str:
    """Return a time of the week as `Fri 16:00`; `ValueError` if it is not one.

    `friday 9:00` is accepted as well, and `Sun 24:00` is `Mon 00:00`.
    """
    match = _WEEK_TIME.fullmatch(text.strip())
    day = match[1].capitalize() if match else ""
    if not match or day not in (*_SHORT, *DAYS):
        raise ValueError(f"invalid time of the week {text!r}: write for example Fri 16:00")
    hour, minute = int(match[2]), int(match[3])
    if minute > 59 or hour * 60 + minute > MINUTES_A_DAY:
        raise ValueError(f"invalid time of the week {text!r}: the time must be between 00:00 and 24:00")
    number = (_SHORT.index(day[:3]) + hour // 24) % 7
    return f"{_SHORT[number]} {hour % 24:02}:{minute:02}"


def minute_of_week(text: str) -> int:
    """Return the minutes from Monday 00:00 to a `WeekTime`."""
    hour, minute = text[4:].split(":")
    return _SHORT.index(text[:3]) * MINUTES_A_DAY + int(hour) * 60 + int(minute)


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1)
        hint = f"did you mean {near[0]}?" if near else "write for example Europe/Berlin or UTC"
        raise ValueError(f"unknown time zone {name!r}; {hint}") from None
    return name


def _without_numbers(value: Any) -> Any:
    """Refuse `20261220`, which would be a number of seconds since 1970."""
    if isinstance(value, date | datetime) or (isinstance(value, str) and not value.strip().isdecimal()):
        return value
    raise ValueError(f"invalid time {value!r}: write for example 2026-12-20T18:00 or 2026-12-20T18:00:00Z")


def _in_years(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError(f"invalid year {moment.year}: it must be between {YEARS[0]} and {YEARS[-1]}")
    return moment


#: `Fri 16:00`, in local time.
WeekTime = Annotated[str, AfterValidator(week_time)]
TimeZone = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_time_zone)]
Moment = Annotated[datetime, BeforeValidator(_without_numbers), AfterValidator(_in_years)]


class WeeklyWindow(AuthoredModel):
    """A part of every week, without its end `to`; it may run past the end of the week."""

    start: Annotated[WeekTime, Field(alias="from")]
    end: Annotated[WeekTime, Field(alias="to")]

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError(f"from and to are both {self.start}: the window must have a length")
        return self


class Freeze(AuthoredModel):
    """When and where no phase starts; rollbacks and aborts are always allowed.

    It applies to what all of `environments`, `regions` and `pipelines` include; an empty list includes all.
    """

    kind: Literal["Freeze"] = "Freeze"
    name: Name
    description: Annotated[str, Field(max_length=1_000)] = ""
    #: Of the weekly windows, and of a `from` and `to` without a time zone.
    time_zone: TimeZone = "UTC"
    weekly: Annotated[tuple[WeeklyWindow, ...], Field(max_length=WINDOWS_MAX), at_most(WINDOWS_MAX)] = ()
    #: A single window, without its end `to`, instead of weekly ones.
    start: Annotated[Moment | None, Field(alias="from")] = None
    end: Annotated[Moment | None, Field(alias="to")] = None
    environments: Annotated[tuple[Name, ...], FIRST_ERROR, Field(max_length=SCOPE_MAX)] = ()
    regions: Annotated[tuple[RegionName, ...], FIRST_ERROR, Field(max_length=SCOPE_MAX)] = ()
    pipelines: Annotated[tuple[Name, ...], FIRST_ERROR, Field(max_length=SCOPE_MAX)] = ()

    @model_validator(mode="after")
    def _has_windows_of_one_kind(self) -> Self:
        is_single = self.start is not None and self.end is not None
        if is_single == bool(self.weekly) or (self.start is None) != (self.end is None):
            raise ValueError("give either weekly windows, or from and to of a single window")
        # As timestamps: datetimes in one time zone compare by local time, which may be set back.
        if self.single and self.single[0].timestamp() >= self.single[1].timestamp():
            raise ValueError(f"from must be before to: {self.single[0]} is not before {self.single[1]}")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def single(self) -> tuple[datetime, datetime] | None:
        """The single window, in the freeze's time zone; None if there are weekly ones."""
        if self.start is None or self.end is None:
            return None
        return self._local(self.start), self._local(self.end)

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone) if moment.tzinfo else moment.replace(tzinfo=self.zone)
