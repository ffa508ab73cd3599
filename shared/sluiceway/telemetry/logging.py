"""Log lines: one JSON object each, or plain text on a terminal."""

import logging
import sys
from datetime import UTC, datetime

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

FIELDS = ("asctime", "levelname", "message")
NAMES = {"asctime": "time", "levelname": "level", "exc_info": "exception"}
#: Attributes of a record that do not become fields: of later Python versions, and of uvicorn.
LEFT_OUT = ("taskName", "color_message")


def set_up_logging(service: str, *, form: str, level: str) -> None:
    """Send every log record of this process to standard error, in `form` (json or text)."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter(f"%(asctime)s %(levelname)-7s {service}: %(message)s")
    handler.setFormatter(json_formatter(service) if form == "json" else text)
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


class _JsonFormatter(JsonFormatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
