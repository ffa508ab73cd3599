"""`GET /api/v1/events`: all that happens, as server-sent events."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse

from ..authentication import Authentication
from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller
from ..errors import responses
from ..event_stream import RESET, feature_event

router = APIRouter(tags=["events"])

#: Events that a listener who comes back is told one by one; whoever missed more looks anew.
RESUME_MAX = 1_000
#: How soon a listener who was cut off comes back.
RETRY = b"retry: 1000\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
LAST_MAX = 2**53

LastSeen = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=LAST_MAX)]
LastAsked = Annotated[int | None, Query(alias="lastEventID", ge=0, le=LAST_MAX)]


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **responses(400, 401, 429, 503),
    },
)
async def events(
    request: Request, backend: Backend, caller: Caller, seen: LastSeen = None, asked: LastAsked = None
) -> StreamingResponse:
    """Follow everything: `feature`, `catalogue`, `region`, `verdict`; `reset` where you have to look anew.

    The id of a `feature` event is its sequence in the log: whoever sends the last one as
    `Last-Event-ID` (or `lastEventID`) misses nothing and hears nothing twice.
    """
    authentication: Authentication = request.app.state.authentication
    after = seen if seen is not None else asked
    stream = _stream(backend, after, lambda: authentication.is_still_valid(request, caller))
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


async def _stream(
    backend: ConsoleBackend, after: int | None, may_listen: Callable[[], bool]
) -> AsyncIterator[bytes]:
    with backend.changes.listening() as listener:
        # What comes from here on waits in the listener; what came before is read from the log.
        known = backend.features.position.sequence
        yield RETRY
        if after is not None:
            async for event in _missed(backend, after, known):
                yield event
        async for event in listener.events(may_listen):
            yield event


async def _missed(backend: ConsoleBackend, after: int, until: int) -> AsyncIterator[bytes]:
    """Give the events between two sequences of FEATURES."""
    if after > until or until - after > RESUME_MAX:
        yield RESET  # the log was made anew, or too much has happened
        return
    if after == until:
        return
    for sequence, event in await backend.log.since(after):
        if sequence <= until:
            yield feature_event(event, sequence)
