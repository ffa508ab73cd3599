"""The body of a request, up to a bound."""

from starlette.requests import Request


class TooLarge(Exception):
    """The body has more bytes than allowed."""


async def body_of(request: Request, bytes_max: int) -> bytes:
    """Return the body; `TooLarge` as soon as it has more bytes than allowed."""
    if int(request.headers.get("content-length") or 0) > bytes_max:
        raise TooLarge(f"the body may have {bytes_max} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise TooLarge(f"the body may have {bytes_max} bytes")
    return bytes(body)
