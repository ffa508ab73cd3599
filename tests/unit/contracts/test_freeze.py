"""Which freezes are valid, and how they are read."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sluiceway.contracts.freeze import Freeze, minute_of_week, week_time
from sluiceway.contracts.validation_errors import describe_errors

WEEKENDS = {"name": "weekends", "weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}]}
SINGLE = {"name": "holidays", "from": "2026-12-20T00:00:00Z", "to": "2027-01-02T00:00:00Z"}


@pytest.mark.parametrize(
    ("text", "read", "minute"),
    [
        ("Mon 00:00", "Mon 00:00", 0),
        ("friday 9:05", "Fri 09:05", 4 * 1_440 + 545),
        (" SUN  23:59 ", "Sun 23:59", 7 * 1_440 - 1),
        ("Sun 24:00", "Mon 00:00", 0),
    ],
)
def test_a_time_of_the_week_is_read_as_people_write_it(text: str, read: str, minute: int) -> None:
    assert week_time(text) == read
    assert minute_of_week(read) == minute


@pytest.mark.parametrize("text", ["", "16:00", "Fri", "Tues 16:00", "Fri 16", "Fri 24:01", "Fri 16:60"])
def test_an_invalid_time_of_the_week_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid time of the week"):
        week_time(text)


@pytest.mark.parametrize("document", [WEEKENDS, SINGLE, {**SINGLE, "from": "2026-12-20T01:00:00+01:00"}])
def test_a_freeze_is_the_same_after_a_round_trip_through_json(document: dict[str, Any]) -> None:
    freeze = Freeze.model_validate(document)

    assert Freeze.model_validate_json(freeze.to_json(), extra="ignore") == freeze
    assert b'"from"' in freeze.to_json()


def test_yaml_may_give_dates_without_a_time_in_the_freezes_own_time_zone() -> None:
    text = "{name: holidays, timeZone: Europe/Berlin, from: 2026-12-20, to: 2027-01-02 12:00:00}"

    start, end = Freeze.model_validate(yaml.safe_load(text)).single or (None, None)

    assert [edge and edge.isoformat() for edge in (start, end)] == [
        "2026-12-20T00:00:00+01:00",
        "2027-01-02T12:00:00+01:00",
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "give either weekly windows"),
        ({**WEEKENDS, **SINGLE}, "give either weekly windows"),
        ({"from": SINGLE["from"]}, "give either weekly windows"),
        ({**WEEKENDS, "from": SINGLE["from"]}, "give either weekly windows"),
        ({"from": SINGLE["to"], "to": SINGLE["from"]}, "from must be before to"),
        ({"from": SINGLE["to"], "to": SINGLE["to"]}, "from must be before to"),
        ({**SINGLE, "from": 20261220}, "from: invalid time 20261220: write for example"),
        ({**SINGLE, "from": "20261220"}, "invalid time '20261220'"),
        ({**SINGLE, "to": "9999-12-31T23:59:59"}, "invalid year 9999: it must be between 1970 and 9998"),
        ({"weekly": [{"from": "Fri 16:00", "to": "Fri 16:00"}]}, "the window must have a length"),
        (
            {"weekly": [{"from": "Freitag 16:00", "to": "Mon 08:00"}]},
            "weekly.0.from: invalid time of the week 'Freitag",
        ),
        ({**WEEKENDS, "timeZone": "Europe/Berln"}, "did you mean Europe/Berlin?"),
        ({**WEEKENDS, "timeZone": "mars"}, "unknown time zone 'mars'"),
        ({**WEEKENDS, "timeZone": "../etc/passwd"}, "unknown time zone"),
        ({**WEEKENDS, "timeZone": "Europe"}, "unknown time zone 'Europe'"),
        ({**WEEKENDS, "enviroments": ["production"]}, "enviroments"),
    ],
)
def test_a_freeze_that_cannot_work_is_refused_with_a_reason(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Freeze.model_validate({"name": "x", **fields})

    assert words in describe_errors(caught.value)


def test_from_and_to_are_compared_as_instants_where_clocks_are_set_back() -> None:
    berlin = {"name": "x", "timeZone": "Europe/Berlin"}

    freeze = Freeze.model_validate({**berlin, "from": "2026-10-25T00:55:00Z", "to": "2026-10-25T01:05:00Z"})

    assert freeze.single
    assert freeze.single[0].replace(tzinfo=None) > freeze.single[1].replace(tzinfo=None)
