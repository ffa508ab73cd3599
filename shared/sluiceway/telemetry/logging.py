"""Log lines: one JSON object each, or plain text on a terminal.

A line may contain what somebody else has sent: it stays one line, of a bounded length, and each place in the
code writes a bounded number of them.
"""

import logging
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from ..token_bucket import TokenBucket

FIELDS = ("asctime", "levelname", "message")
NAMES = {"asctime": "time", "levelname": "level", "exc_info": "exception"}
#: Attributes of a record that do not become fields: of later Python versions, and of uvicorn.
LEFT_OUT = ("taskName", "color_message")
#: Characters of a message, and of a traceback.
MESSAGE_LENGTH_MAX = 8_000
TRACEBACK_LENGTH_MAX = 32_000
#: Lines that one place in the code may write immediately, and per second after that.
LINES_BURST = 500
LINES_PER_SECOND = 20.0
#: Line breaks and other characters that a terminal does not show as such.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def set_up_logging(service: str, *, form: str, level: str) -> None:
    """Send every log record of this process to standard error, in `form` (json or text)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter(service) if form == "json" else text_formatter(service))
    handler.addFilter(LineLimit())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)


def json_formatter(service: str) -> logging.Formatter:
    """Return a formatter with the fields time, level, service, message, `extra`, and exception if any."""
    return _JsonFormatter(
        FIELDS,
        rename_fields=NAMES,
        static_fields={"service": service},
        reserved_attrs=(*RESERVED_ATTRS, *LEFT_OUT),
        json_default=str,
    )


def text_formatter(service: str) -> logging.Formatter:
    """Return a formatter of one line for each record; the lines of a traceback are indented."""
    return _TextFormatter(f"%(asctime)s %(levelname)-7s {service}: %(message)s")


@dataclass(slots=True)
class _Place:
    """The lines that a place in the code may write, and how many were left out since the last one."""

    lines: TokenBucket
    left_out: int = 0


class LineLimit(logging.Filter):
    """Drops lines of a place in the code that writes too many; its next line says how many there were."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        #: One for each place in the code: what a client sends makes no further ones.
        self._places: dict[tuple[str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        now = self._clock()
        place = self._places.setdefault(
            (record.pathname, record.lineno), _Place(TokenBucket(LINES_BURST, LINES_PER_SECOND, now))
        )
        if not place.lines.take(now):
            place.left_out += 1
            return False
        if place.left_out:
            record.msg = f"{record.getMessage()} ({place.left_out} lines like this were left out)"
            record.args = ()
            place.left_out = 0
        return True


class _JsonFormatter(JsonFormatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _end_of(str(super().formatException(ei)))

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        log_data["message"] = _beginning_of(str(log_data["message"]))
        return log_data


class _TextFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = _UNPRINTABLE.sub(_escaped, _beginning_of(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        traceback = _end_of(super().formatException(ei))
        return "\n".join("    " + _UNPRINTABLE.sub(_escaped, line) for line in traceback.split("\n"))


def _beginning_of(message: str) -> str:
    if len(message) <= MESSAGE_LENGTH_MAX:
        return message
    return f"{message[:MESSAGE_LENGTH_MAX]}… ({len(message)} characters)"


def _end_of(traceback: str) -> str:
    """Return a traceback that is not too long; its end says what has happened."""
    return traceback if len(traceback) <= TRACEBACK_LENGTH_MAX else f"… {traceback[-TRACEBACK_LENGTH_MAX:]}"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
