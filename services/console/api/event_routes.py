"""`GET /api/v1/events`: everything that happens, as server-sent events."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse

from sluiceway.http.server_sent_events import MEDIA_TYPE

from ..authentication import Authentication
from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller
from ..errors import responses
from ..event_stream import RESET, feature_event

router = APIRouter(tags=["events"])

#: Missed events that are replayed to a client that reconnects. After more, it gets a `reset`.
REPLAY_MAX = 1_000
#: How soon a disconnected client reconnects, in ms.
RETRY = b"retry: 1000\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
EVENT_ID_MAX = 2**53

LastEventHeader = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=EVENT_ID_MAX)]
LastEventQuery = Annotated[int | None, Query(alias="lastEventID", ge=0, le=EVENT_ID_MAX)]


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
        **responses(400, 401, 429, 503),
    },
)
async def events(
    request: Request,
    backend: Backend,
    caller: Caller,
    last_header: LastEventHeader = None,
    last_query: LastEventQuery = None,
) -> StreamingResponse:
    """Stream `feature`, `catalogue`, `region` and `verdict` events; after `reset`, fetch everything again.

    The id of a `feature` event is its sequence in the log. A client that sends the last id it has
    received as `Last-Event-ID` (or `lastEventID`) misses no event and receives none twice.
    """
    authentication: Authentication = request.app.state.authentication
    last_id = last_header if last_header is not None else last_query
    stream = _stream(backend, last_id, lambda: authentication.is_still_valid(request, caller))
    return StreamingResponse(stream, media_type=MEDIA_TYPE, headers=HEADERS)


async def _stream(
    backend: ConsoleBackend, last_id: int | None, may_listen: Callable[[], bool]
) -> AsyncIterator[bytes]:
    with backend.events.listening() as listener:
        # From here on, new events wait in the listener's queue; earlier ones are read from the log.
        until = backend.features.position.sequence
        yield RETRY
        if last_id is not None:
            async for event in _replay(backend, last_id, until):
                yield event
        async for event in listener.events(may_listen):
            yield event


async def _replay(backend: ConsoleBackend, after: int, until: int) -> AsyncIterator[bytes]:
    """Yield the events between two sequences of FEATURES; `reset` if that is not possible."""
    if after > until or until - after > REPLAY_MAX:
        yield RESET  # the log was recreated, or too much has happened
        return
    if after == until:
        return
    for sequence, event in await backend.log.since(after):
        if sequence <= until:
            yield feature_event(event, sequence)
