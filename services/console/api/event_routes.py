"""`GET /api/v1/events`: everything that happens, as server-sent events."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Query, Request
from starlette.responses import StreamingResponse

from sluiceway.contracts.identity import CONSOLE
from sluiceway.errors import Rejected, Unavailable
from sluiceway.http.concurrency_limit import ConcurrencyLimit, LimitReached
from sluiceway.http.server_sent_events import MEDIA_TYPE

from ..authentication import Authentication
from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller
from ..errors import responses
from ..event_stream import RESET, feature_event
from ..limits import RETRY_STREAM_SECONDS
from ..reading_turns import end_turn

log = logging.getLogger(__name__)

router = APIRouter(tags=["events"])

#: Missed events that are replayed to a client that reconnects. After more, it gets a `reset`.
REPLAY_MAX = 1_000
#: A stream ends after this time: its client resumes, and shows again who he is.
STREAM_SECONDS_MAX = 3_600
#: How soon a disconnected client reconnects, in ms.
RETRY = b"retry: 1000\n\n"
HEADERS = {"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}
#: Sequence and time of an event; earlier versions sent the sequence alone.
EVENT_ID = r"^[0-9]{1,16}(-[0-9]{1,16})?$"

LastEventHeader = Annotated[str | None, Header(alias="Last-Event-ID", pattern=EVENT_ID)]
LastEventQuery = Annotated[str | None, Query(alias="lastEventID", pattern=EVENT_ID)]


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

    The id of a `feature` event is its place in the log. A client that sends the last id it has received
    as `Last-Event-ID` (or `lastEventID`) misses no event and receives none twice; if the log went back
    since, it gets a `reset`. A stream ends with the key or session that opened it, and after an hour.
    """
    authentication: Authentication = request.app.state.authentication
    last_id = last_header if last_header is not None else last_query
    streams: ConcurrencyLimit = request.app.state.streams
    owner = f"person {caller.name}" if caller.vouched_by == CONSOLE else caller.vouched_by
    try:
        streams.check(owner)
    except LimitReached as error:
        text = f"too many event streams: {error}; try again in {RETRY_STREAM_SECONDS} s"
        raise HTTPException(429, text, headers={"Retry-After": str(RETRY_STREAM_SECONDS)}) from error
    until = time.monotonic() + STREAM_SECONDS_MAX
    await end_turn(request)

    def may_listen() -> bool:
        return time.monotonic() < until and authentication.is_still_valid(request, caller)

    stream = _stream(backend, last_id, may_listen, streams.acquire(owner))
    return StreamingResponse(stream, media_type=MEDIA_TYPE, headers=HEADERS)


async def _stream(
    backend: ConsoleBackend,
    last_id: str | None,
    may_listen: Callable[[], bool],
    place: AbstractContextManager[None],
) -> AsyncIterator[bytes]:
    with place, backend.events.listening() as listener:
        # From here on, new events wait in the listener's queue; earlier ones are read from the log.
        until = backend.features.position.sequence
        yield RETRY
        if last_id is not None:
            async for event in _replay(backend, last_id, until):
                yield event
        async for event in listener.events(may_listen):
            yield event


async def _replay(backend: ConsoleBackend, last_id: str, until: int) -> AsyncIterator[bytes]:
    """Yield the events between two places in FEATURES; `reset` if that is not possible."""
    sequence, _, time_ms = last_id.partition("-")
    after = int(sequence)
    if after > until or until - after > REPLAY_MAX or not await _is_known(backend, after, time_ms):
        yield RESET  # the log went back, or too much has happened
        return
    if after == until:
        return
    try:
        async for number, event in backend.log.between(after, until):
            yield feature_event(event, number)
    except Unavailable as error:
        log.warning("cannot replay events to a client, which reads everything again: %s", error)
        yield RESET


async def _is_known(backend: ConsoleBackend, sequence: int, time_ms: str) -> bool:
    """Return whether the log still holds the event; true if its time is unknown."""
    if not time_ms:
        return True
    try:
        return (await backend.log.at(sequence)).time_ms == int(time_ms)
    except (Rejected, Unavailable):
        return False
