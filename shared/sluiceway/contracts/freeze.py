"""Freeze: when no phase starts, and where."""

import re
from datetime import date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .identifiers import Name, RegionName
from .models import AuthoredModel

WINDOWS_MAX = 50
SCOPE_MAX = 100

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT = tuple(day[:3] for day in DAYS)
MINUTES_A_DAY = 24 * 60
MINUTES_A_WEEK = 7 * MINUTES_A_DAY
_WEEK_TIME = re.compile(r"([A-Za-z]+) +(\d{1,2}):(\d{2})")
#: Beyond these a time zone's offset may lead out of the calendar.
YEARS = range(1970, 9_999)


def week_time(text: str) -> str:
    """Return a time of the week as `Fri 16:00`; `ValueError` where it is none.

    `friday 9:00` is read as well, and `Sun 24:00` is `Mon 00:00`.
    """
    match = _WEEK_TIME.fullmatch(text.strip())
    day = match[1].capitalize() if match else ""
    if not match or day not in (*_SHORT, *DAYS):
        raise ValueError(f"{text!r} is no time of the week; write for example Fri 16:00")
    hour, minute = int(match[2]), int(match[3])
    if minute > 59 or hour * 60 + minute > MINUTES_A_DAY:
        raise ValueError(f"{text!r} is no time of the week: {match[2]}:{match[3]} is no time of a day")
    number = (_SHORT.index(day[:3]) + hour // 24) % 7
    return f"{_SHORT[number]} {hour % 24:02}:{minute:02}"


def minute_of_week(text: str) -> int:
    """Return how many minutes after Monday 00:00 a `WeekTime` is."""
    hour, minute = text[4:].split(":")
    return _SHORT.index(text[:3]) * MINUTES_A_DAY + int(hour) * 60 + int(minute)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1)
        hint = f"did you mean {near[0]}?" if near else "write for example Europe/Berlin or UTC"
        raise ValueError(f"there is no time zone {name!r}; {hint}") from None
    return name


def _no_number(value: Any) -> Any:
    """Refuse `20261220`, which would be a number of seconds since 1970."""
    if isinstance(value, date | datetime) or (isinstance(value, str) and not value.strip().isdecimal()):
        return value
    raise ValueError("write a date and a time, for example 2026-12-20T18:00 or 2026-12-20T18:00:00Z")


def _near(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError(f"the year must lie between {YEARS[0]} and {YEARS[-1]}")
    return moment


#: `Fri 16:00`, by the clock on the wall.
WeekTime = Annotated[str, AfterValidator(week_time)]
TimeZone = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_known_zone)]
Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_near)]


class WeeklyWindow(AuthoredModel):
    """A part of every week, `to` excluded; it may run over the end of the week."""

    start: Annotated[WeekTime, Field(alias="from")]
    end: Annotated[WeekTime, Field(alias="to")]

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        if self.start == self.end:
            raise ValueError(f"from and to are both {self.start}: that is no time at all, or always")
        return self


class Freeze(AuthoredModel):
    """When no phase starts, and where; roll-backs and aborts always may.

    It acts where all of `environments`, `regions` and `pipelines` agree; an empty one always does.
    """

    kind: Literal["Freeze"] = "Freeze"
    name: Name
    description: Annotated[str, Field(max_length=1_000)] = ""
    #: Of the weekly windows, and of a `from` and `to` that name none.
    time_zone: TimeZone = "UTC"
    weekly: Annotated[tuple[WeeklyWindow, ...], Field(max_length=WINDOWS_MAX)] = ()
    #: A single window, `to` excluded, in place of weekly ones.
    start: Annotated[Moment | None, Field(alias="from")] = None
    end: Annotated[Moment | None, Field(alias="to")] = None
    environments: Annotated[tuple[Name, ...], Field(max_length=SCOPE_MAX)] = ()
    regions: Annotated[tuple[RegionName, ...], Field(max_length=SCOPE_MAX)] = ()
    pipelines: Annotated[tuple[Name, ...], Field(max_length=SCOPE_MAX)] = ()

    @model_validator(mode="after")
    def _has_windows_of_one_kind(self) -> Self:
        is_single = self.start is not None and self.end is not None
        if is_single == bool(self.weekly) or (self.start is None) != (self.end is None):
            raise ValueError("give weekly windows, or one window by from and to: exactly one of the two")
        # As timestamps: within one time zone datetimes compare as clocks do, also where these are set back.
        if self.single and self.single[0].timestamp() >= self.single[1].timestamp():
            raise ValueError("from must be before to")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def single(self) -> tuple[datetime, datetime] | None:
        """The only window, in the freeze's time zone; None where there are weekly ones."""
        if self.start is None or self.end is None:
            return None
        return self._local(self.start), self._local(self.end)

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone) if moment.tzinfo else moment.replace(tzinfo=self.zone)
