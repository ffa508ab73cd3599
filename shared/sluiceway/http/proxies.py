"""Whom a process believes about the client that is behind a proxy."""

from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

#: How an IPv4 address looks on a socket of IPv6.
MAPPED_PREFIX = "::ffff:"


class ForwardedHeaders:
    """ASGI middleware that takes client and scheme from `X-Forwarded-…`, if a trusted proxy sends them."""

    def __init__(self, app: Any, trusted: str) -> None:
        """`trusted`: addresses and networks, separated by commas; `*`: any; empty: none."""
        self._app: Any = ProxyHeadersMiddleware(app, trusted) if trusted else app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if client := scope.get("client"):
            scope["client"] = (client[0].removeprefix(MAPPED_PREFIX), client[1])
        await self._app(scope, receive, send)
