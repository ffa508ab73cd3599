"""Around every request: a bound on its body, and security headers on its response."""

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from sluiceway.http.server import AsgiApp

from .limits import BODY_BYTES_MAX

#: Only our own content, no inline scripts, no embedding in frames.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
#: For responses whose route does not set a Cache-Control.
NO_STORE = "private, no-store"
TLS = "max-age=31536000"


class RequestGuard:
    """ASGI middleware that bounds request bodies and adds the headers."""

    def __init__(self, app: AsgiApp, *, is_tls: bool) -> None:
        self._app = app
        self._is_tls = is_tls

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def receive_bounded() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_BYTES_MAX:
                raise HTTPException(413, f"the body is too large: at most {BODY_BYTES_MAX} bytes")
            return message

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive_bounded, send_with_headers)

    def _add_headers(self, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Cache-Control", NO_STORE)
        if self._is_tls:
            headers.setdefault("Strict-Transport-Security", TLS)
