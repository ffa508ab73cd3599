"""Reads the body of a request, up to a bound."""

from starlette.requests import Request


class BodyTooLarge(Exception):
    """The body has more bytes than allowed."""


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the body; raise `BodyTooLarge` as soon as it has more bytes than allowed."""
    if int(request.headers.get("content-length") or 0) > bytes_max:
        raise BodyTooLarge(f"the body is too large: at most {bytes_max} bytes are allowed")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise BodyTooLarge(f"the body is too large: at most {bytes_max} bytes are allowed")
    return bytes(body)
