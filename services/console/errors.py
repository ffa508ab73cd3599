"""Error responses: always `{status, message, …}`, with what to do next."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.contracts.validation_errors import ERRORS_MAX, describe_error, describe_errors
from sluiceway.errors import InvalidEvent, Unavailable

from .audit_recorder import audit_recorder

log = logging.getLogger(__name__)

#: HTTP status of each refusal. Every other one is 409: read the state again, then decide.
STATUS: Mapping[RefusalCode, int] = {
    RefusalCode.INVALID: 400,
    RefusalCode.UNSAFE_REFERENCE: 400,
    RefusalCode.UNKNOWN_COMMAND: 400,
    RefusalCode.TOO_LARGE: 413,
    RefusalCode.NOT_ALLOWED: 403,
    RefusalCode.UNKNOWN_FEATURE: 404,
    RefusalCode.UNKNOWN_TRIGGER: 404,
    RefusalCode.UNKNOWN_PIPELINE: 404,
    RefusalCode.UNKNOWN_ENVIRONMENT: 404,
    RefusalCode.UNKNOWN_REGION: 404,
    RefusalCode.UNKNOWN_KEY: 404,
    RefusalCode.UNKNOWN_FREEZE: 404,
    RefusalCode.UNKNOWN_ALERT_SOURCE: 404,
    RefusalCode.RATE_LIMITED: 429,
    RefusalCode.UNAVAILABLE: 503,
}
CONFLICT = 409
PRECONDITION_FAILED = 412
RETRY_AFTER_SECONDS = 1


class Problem(BaseModel):
    """Why a request failed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": 409,
                    "message": "gate.new_checkout is being released by gate.new_checkout.1; end that first",
                    "code": "trigger_active",
                    "possible": ["abort", "roll_out"],
                    "errors": [],
                }
            ]
        }
    )

    #: The HTTP status.
    status: int
    #: What is wrong, and what to do next.
    message: str
    #: Of a refused command: the reason as an identifier.
    code: str | None = None
    #: Of a refused command: what the current state allows.
    possible: list[str] = []
    #: Of an invalid request: the first errors, each with its location.
    errors: list[str] = []


class CommandRefused(Exception):
    """A command was refused."""

    def __init__(self, refusal: Refusal, status: int | None = None) -> None:
        """`status`: the HTTP status; None: that of the refusal's code."""
        super().__init__(refusal.message)
        self.refusal = refusal
        self.status = status


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route for the OpenAPI document."""
    return {status: {"model": Problem} for status in statuses}


#: The header that names the revision of one document, in responses that have one.
ETAG: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {
                "description": "The revision, for If-Match of a later change.",
                "schema": {"type": "string"},
            }
        }
    }
}
#: Responses of routes that read a list, read one thing, create something, and change something.
READING = responses(400, 401, 429, 503)
READING_ONE = {**READING, **responses(404), **ETAG}
CREATING = {**READING, **responses(403, 404, 409, 413)}
CHANGING = {**CREATING, **responses(PRECONDITION_FAILED), **ETAG}
#: Renders a problem as a page.
ErrorPage = Callable[[Request, Problem], Response]
#: Paths that programs request: errors there are always JSON.
APIS = ("/api/", "/console/", "/openapi.json")


def add_error_handlers(app: FastAPI, error_page: ErrorPage) -> None:
    """Let an application return every error in the same form; browsers get it as a page."""
    app.state.error_page = error_page
    app.exception_handler(CommandRefused)(_refused)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(ValidationError)(_invalid_document)
    app.exception_handler(Unavailable)(_unavailable)
    app.exception_handler(InvalidEvent)(_unavailable)  # the view reads the event before it
    app.exception_handler(ClientDisconnect)(_disconnected)
    app.exception_handler(Exception)(_internal_error)


def problem_response(
    request: Request, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem as a response: JSON, or a page for a browser."""
    if request.url.path.startswith(APIS) or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(problem.model_dump(), problem.status, headers=dict(headers or {}))
    error_page: ErrorPage = request.app.state.error_page
    page = error_page(request, problem)
    page.headers.update(headers or {})
    return page


def problem_of(refusal: Refusal) -> Problem:
    """Return a refusal as a problem."""
    status = STATUS.get(refusal.code, CONFLICT)
    return Problem(status=status, message=refusal.message, code=refusal.code, possible=list(refusal.possible))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, CommandRefused)
    problem = problem_of(error.refusal)
    retry_ms = error.refusal.retry_after_ms
    headers = {} if retry_ms is None else {"Retry-After": str(math.ceil(retry_ms / 1_000))}
    problem = problem.model_copy(update={"status": error.status or problem.status})
    return problem_response(request, problem, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code in (401, 403):
        audit_recorder(request).refused(request, error.status_code, str(message))
    if error.status_code == 404 and message == "Not Found":
        message = f"unknown path {request.url.path}; /openapi.json lists the API"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_allowed(request)))
        message = f"{request.method} is not allowed for this path; allowed: {headers['Allow']}"
    return problem_response(request, Problem(status=error.status_code, message=message), headers)


def _allowed(request: Request) -> set[str]:
    """Return the methods of all routes for a path; the framework names those of the first route only."""
    scope = {**request.scope, "path_params": {}}
    routes = [route for route in _routes(request.app.routes) if route.matches(scope)[0] is not Match.NONE]
    return {method for route in routes for method in getattr(route, "methods", None) or ()}


def _routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        yield route
        yield from _routes(getattr(route, "routes", None) or ())


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        f"{'.'.join(map(str, detail['loc']))}: {describe_error(detail)}"
        for detail in error.errors()[:ERRORS_MAX]
    ]
    return problem_response(request, Problem(status=400, message="; ".join(errors[:3]), errors=errors))


async def _invalid_document(request: Request, error: Exception) -> Response:
    """Answer 400 for a document or command that is invalid: its fields come from the caller."""
    assert isinstance(error, ValidationError)
    return problem_response(request, Problem(status=400, message=describe_errors(error)))


async def _unavailable(request: Request, error: Exception) -> Response:
    problem = Problem(status=503, message=f"{error}; the same request may be sent again")
    return problem_response(request, problem, {"Retry-After": str(RETRY_AFTER_SECONDS)})


async def _disconnected(request: Request, error: Exception) -> Response:
    return Response(status_code=408)  # nobody receives it


async def _internal_error(request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return problem_response(
        request, Problem(status=500, message="internal error; the console's log has the details")
    )
