"""Reads the body of a request, up to a bound."""

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from .headers import header


class BodyTooLarge(Exception):
    """The body has more bytes than allowed."""


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the body; raise `BodyTooLarge` as soon as it has more bytes than allowed."""
    parts: list[bytes] = []
    await _receive(request, bytes_max, parts.append)
    return b"".join(parts)


async def skip_body(request: Request, bytes_max: int) -> None:
    """Read the body and keep nothing of it; raise `BodyTooLarge` as `read_body` does."""
    await _receive(request, bytes_max, len)


async def _receive(request: Request, bytes_max: int, keep: Callable[[bytes], object]) -> None:
    if int(header(request.scope["headers"], b"content-length") or 0) > bytes_max:
        raise _too_large(bytes_max)
    received, has_more = 0, True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        received += len(part)
        if received > bytes_max:
            raise _too_large(bytes_max)
        keep(part)
        has_more = message.get("more_body", False)


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is too large: at most {bytes_max} bytes are allowed")
