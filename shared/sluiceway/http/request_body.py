"""Reads the body of a request, up to a bound."""

from collections.abc import AsyncIterator

from starlette.requests import Request


class BodyTooLarge(Exception):
    """The body has more bytes than allowed."""


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the body; raise `BodyTooLarge` as soon as it has more bytes than allowed."""
    return b"".join([part async for part in _parts(request, bytes_max)])


async def skip_body(request: Request, bytes_max: int) -> None:
    """Read the body and keep nothing of it; raise `BodyTooLarge` as `read_body` does."""
    async for _ in _parts(request, bytes_max):
        pass


async def _parts(request: Request, bytes_max: int) -> AsyncIterator[bytes]:
    if int(request.headers.get("content-length") or 0) > bytes_max:
        raise BodyTooLarge(f"the body is too large: at most {bytes_max} bytes are allowed")
    received = 0
    async for part in request.stream():
        received += len(part)
        if received > bytes_max:
            raise BodyTooLarge(f"the body is too large: at most {bytes_max} bytes are allowed")
        yield part
