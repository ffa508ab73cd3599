"""What a log line looks like to a machine."""

import json
import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sluiceway.telemetry.logging import LineLimit, json_formatter, text_formatter


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(json_formatter("edge").format(record))
    return line


def a_record(**extra: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "x", "levelname": "WARNING", "msg": "%s is late", "args": ("eu",), "created": 1.5, **extra}
    )


def test_a_line_has_these_fields_and_no_others() -> None:
    line = line_of(a_record(taskName="Task-1", color_message="x"))

    assert line == {
        "time": "1970-01-01T00:00:01.500+00:00",
        "level": "WARNING",
        "service": "edge",
        "message": "eu is late",
    }
    assert datetime.fromisoformat(line["time"]).tzinfo


def test_extra_fields_stand_in_it_whatever_they_are() -> None:
    line = line_of(a_record(region="eu", path=Path("/data")))

    assert (line["region"], line["path"]) == ("eu", "/data")


def test_an_exception_is_one_field() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        line = line_of(a_record(exc_info=sys.exc_info()))

    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: broken")
    assert "exc_info" not in line


def test_a_line_is_one_line() -> None:
    text = json_formatter("edge").format(a_record(args=("a\nb",)))

    assert "\n" not in text


FORGED = "x\n2026-11-28 12:00:00 INFO    edge: ada approved\r\x1b[2K\u2028\u202e"


@pytest.mark.parametrize("formatter", [text_formatter("edge"), json_formatter("edge")], ids=["text", "json"])
def test_what_a_client_sends_cannot_look_like_another_line(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        text = formatter.format(a_record(args=(FORGED,), exc_info=sys.exc_info()))

    first, *others = text.splitlines()
    assert "ada approved" in first
    assert all(line.startswith("    ") for line in others)
    assert "\x1b" not in text


@pytest.mark.parametrize("formatter", [text_formatter("edge"), json_formatter("edge")], ids=["text", "json"])
def test_a_line_has_a_bounded_length(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("y" * 1_000_000)
    except ValueError:
        text = formatter.format(a_record(args=("x" * 1_000_000,), exc_info=sys.exc_info()))

    assert len(text) < 50_000
    assert "(1000008 characters)" in text


def test_one_place_in_the_code_cannot_fill_the_log() -> None:
    now = 0.0
    limit = LineLimit(lambda: now)
    flood = [limit.filter(a_record(pathname="a.py", lineno=1)) for _ in range(10_000)]
    other = limit.filter(a_record(pathname="a.py", lineno=2))
    now += 1.0
    later = a_record(pathname="a.py", lineno=1)

    assert (sum(flood), other, limit.filter(later)) == (500, True, True)
    assert later.getMessage() == "eu is late (9500 lines like this were left out)"
    assert len(limit._places) == 2
