"""What a log line looks like to a machine."""

import json
import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from sluiceway.telemetry.logging import json_formatter


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
