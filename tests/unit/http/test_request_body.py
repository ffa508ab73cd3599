"""Bodies of requests are read, or skipped, up to a bound, whatever they say about their size."""

from typing import Any

import pytest
from starlette.requests import Request

from sluiceway.http.request_body import BodyTooLarge, read_body, skip_body


def a_request(*parts: bytes, **headers: str) -> Request:
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


async def test_a_body_within_the_bound_is_read_or_skipped() -> None:
    assert await read_body(a_request(b"ab", b"cd"), 4) == b"abcd"
    await skip_body(a_request(b"ab", b"cd"), 4)


@pytest.mark.parametrize("read", [read_body, skip_body])
@pytest.mark.parametrize("headers", [{}, {"content_length": "1"}, {"content_length": "5"}])
async def test_a_body_beyond_the_bound_is_refused(read: Any, headers: dict[str, str]) -> None:
    with pytest.raises(BodyTooLarge, match="at most 4 bytes are allowed"):
        await read(a_request(b"ab", b"cd", b"e", **headers), 4)
