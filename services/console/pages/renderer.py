"""Renders templates. Every value is escaped."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from sluiceway import __version__
from sluiceway.clock import now_ms
from sluiceway.contracts.durations import format_duration
from sluiceway.trigger_view import describe_omissions

from ..csrf import csrf_token
from ..errors import Problem

HERE = Path(__file__).parent


def _fingerprint() -> str:
    """Return a hash of all static files, part of their URLs: browsers may cache them for good."""
    digest = hashlib.sha256()
    for file in sorted((HERE / "static").iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _clock(time_ms: int | None) -> str:
    """Return a time in UTC, with seconds."""
    return (
        "" if time_ms is None else datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    )


def _time_left(until_ms: int | None) -> str:
    """Return how long it is until a time, for example `1h 5m`."""
    return "" if until_ms is None else format_duration(max(0, until_ms - now_ms()))


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, for example `1 region` or `2 regions`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters.update(
    clock=_clock, time_left=_time_left, duration=format_duration, plural=plural, omissions=describe_omissions
)
templates.globals.update(version=__version__, fingerprint=_fingerprint())


def render(request: Request, template: str, *, code: int = 200, **context: Any) -> Response:
    """Return a page. Every template may use `user` (None if nobody is signed in), `csrf` and `path`."""
    common = {
        "user": getattr(request.state, "user", None),
        "csrf": csrf_token(request),
        "path": request.url.path,
    }
    return HTMLResponse(templates.get_template(template).render({**common, **context}), code)


def error_page(request: Request, problem: Problem) -> Response:
    """Return an error as a page."""
    return render(request, "error.html", code=problem.status, problem=problem)
