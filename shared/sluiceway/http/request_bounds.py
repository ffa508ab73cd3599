"""Around every request but those of the health pages: who is refused, and how answers are written."""

import json
from collections.abc import Awaitable
from typing import Any

from sluiceway.telemetry import metrics

from .bounded_protocol import REFUSAL
from .concurrency_limit import ConcurrencyLimit, LimitReached
from .connections import RETRY_AFTER_SECONDS, network_of

#: An answer is given to the connection in parts of this size, each once the one before is nearly sent: what a
#: slow reader has not read is not copied into memory for him.
PART_BYTES = 64 * 1024
#: Requests of all addresses at the same time: connections are bounded before.
REQUESTS_MAX = 1_000_000


class RequestBounds:
    """ASGI middleware that bounds the requests of one address, and the memory of answers that are not read.

    Connections of a client that comes directly are bounded already; behind a trusted proxy, these are his
    requests.
    """

    def __init__(self, app: Any, per_address: int) -> None:
        self._app = app
        self._requests = ConcurrencyLimit(REQUESTS_MAX, per_address)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        refusal = scope["state"].get(REFUSAL)
        if refusal is not None:
            await refuse(send, refusal.reason)
            return
        client = scope.get("client")
        try:
            with self._requests.acquire(network_of(client[0]) if client else ""):
                await self._app(scope, receive, _in_parts(send))
        except LimitReached as error:
            text = f"too many requests from your address: {error}; try again in {RETRY_AFTER_SECONDS} s"
            metrics.HTTP_REFUSED.labels("address").inc()
            await refuse(send, text)


async def refuse(send: Any, reason: str) -> None:
    """Answer that a request is refused now, and close its connection."""
    body = json.dumps({"message": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(RETRY_AFTER_SECONDS).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _in_parts(send: Any) -> Any:
    def send_in_parts(message: dict[str, Any]) -> Awaitable[None]:
        is_small = len(message.get("body", b"")) <= PART_BYTES
        sent: Awaitable[None] = send(message) if is_small else _send_parts(send, message)
        return sent

    return send_in_parts


async def _send_parts(send: Any, message: dict[str, Any]) -> None:
    view = memoryview(message["body"])
    for start in range(0, len(view), PART_BYTES):
        is_last = start + PART_BYTES >= len(view)
        more_body = not is_last or message.get("more_body", False)
        part = view[start : start + PART_BYTES]
        await send({"type": "http.response.body", "body": part, "more_body": more_body})
