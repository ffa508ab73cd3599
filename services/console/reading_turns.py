"""What one caller reads is built for few requests at a time, so that others are served in between.

Lists and pages are built on the loop that answers everybody. A turn lasts until the response is sent.
Commands take none: an abort does not wait for what its sender reads.
"""

from contextlib import AsyncExitStack
from typing import Any

from fastapi import Request

from sluiceway.contracts.identity import Identity
from sluiceway.http.server import AsgiApp
from sluiceway.turns import Turns

from .authentication import sender_of

#: Requests of one caller that are built at the same time; the others wait, or get 503.
REQUESTS_MAX = 2
READING_METHODS = ("GET", "HEAD")
#: Paths whose POST reads as well.
PREVIEWS = ("/api/v1/simulate", "/drafts/check", "/drafts/preview")
#: In the scope of a request: what is released once its response is sent.
TURN = "sluiceway.turn"


class ReadingTurns:
    """ASGI middleware that ends the turn of a request with its response."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async with AsyncExitStack() as turn:
            scope[TURN] = turn
            await self._app(scope, receive, send)


async def take_turn(request: Request, caller: Identity) -> None:
    """Wait for a turn of the caller, if the request reads; `Unavailable` if none is free in time."""
    if request.method in READING_METHODS or request.url.path in PREVIEWS:
        turns: Turns = request.app.state.reading_turns
        turn: AsyncExitStack = request.scope[TURN]
        await turn.aclose()  # one that it has already, which it would wait for otherwise
        await turn.enter_async_context(turns.of(f"lists and pages of {sender_of(caller)}"))


async def end_turn(request: Request) -> None:
    """End the turn of a request before its response is sent: that may last for hours."""
    turn: AsyncExitStack = request.scope[TURN]
    await turn.aclose()
