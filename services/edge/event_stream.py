"""A response that sends events until they end or its client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import Response

from sluiceway.http.server_sent_events import MEDIA_TYPE


class EventStreamResponse(Response):
    """Sends what a generator yields, and closes it.

    Starlette's `StreamingResponse` has two tasks and a group for them beside the request's own, which takes
    a quarter of the memory of a silent stream.
    """

    media_type = MEDIA_TYPE

    def __init__(self, events: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self.raw_headers = [field for field in self.raw_headers if field[0] != b"content-length"]
        self._events = events

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        stream = asyncio.current_task()
        assert stream
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        leaving = asyncio.create_task(_cancel_if_left(stream, receive))
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            has_left = leaving.done() and not leaving.cancelled()
            if not has_left or stream.uncancel():
                raise
        finally:
            leaving.cancel()


async def _cancel_if_left(stream: "asyncio.Task[Any]", receive: Any) -> None:
    """Cancel a stream once its client has left. A stream that has ended is not cancelled."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.cancel()
