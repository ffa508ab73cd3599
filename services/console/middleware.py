"""What stands around every answer: a bound on bodies, and headers that keep pages to themselves."""

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from sluiceway.http.server import AsgiApp

from .limits import BODY_BYTES_MAX

#: Nothing from elsewhere, no inline script, no frame around it.
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
#: Answers that nobody may keep, unless a route says otherwise.
NO_STORE = "no-store"
TLS = "max-age=31536000"


class ResponseGuard:
    """ASGI middleware."""

    def __init__(self, app: AsgiApp, *, is_tls: bool) -> None:
        self._app = app
        self._is_tls = is_tls

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > BODY_BYTES_MAX:
                raise HTTPException(413, f"the body may have {BODY_BYTES_MAX} bytes")
            return message

        async def fenced(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, bounded, fenced)

    def _add(self, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Cache-Control", NO_STORE)
        if self._is_tls:
            headers.setdefault("Strict-Transport-Security", TLS)
