"""Whom a process believes about the client that is behind a proxy."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

#: How an IPv4 address looks on a socket of IPv6.
MAPPED_PREFIX = "::ffff:"
#: The name in a request's state of the address that its connection comes from.
PEER = "peer"
#: The name there of whether that is a trusted proxy.
IS_TRUSTED = "is_trusted_proxy"


class ForwardedHeaders:
    """ASGI middleware that takes client and scheme from `X-Forwarded-…`, if a trusted proxy sends them."""

    def __init__(self, app: Any, trusted: str) -> None:
        """`trusted`: addresses and networks, separated by commas; `*`: any; empty: none."""
        self._app = app
        self.is_trusted = trusted_proxies(trusted)
        self._believing = ProxyHeadersMiddleware(self._checked, trusted) if trusted else None

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Return the answer of the application: a coroutine of one's own would cost each waiting request."""
        if client := scope.get("client"):
            scope["client"] = (client[0].removeprefix(MAPPED_PREFIX), client[1])
        app = self._app
        if self._believing:
            scope["state"][PEER] = scope["client"]
            scope["state"][IS_TRUSTED] = scope["client"] is not None and self.is_trusted(scope["client"][0])
            app = self._believing
        answer: Awaitable[None] = app(scope, receive, send)
        return answer

    async def _checked(self, scope: Any, receive: Any, send: Any) -> None:
        """Keep the address of the connection if what the proxy says of its client is none."""
        if not is_address(scope["client"][0]):
            scope["client"] = scope["state"][PEER]
        await self._app(scope, receive, send)


def trusted_proxies(trusted: str) -> Callable[[str], bool]:
    """Return what tells whether a connection from an address is that of a proxy, for many clients."""
    if not trusted:
        return lambda address: False
    known = ProxyHeadersMiddleware(_no_app, trusted).trusted_hosts
    return lambda address: address.removeprefix(MAPPED_PREFIX) in known


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


def is_from_trusted_proxy(scope: Mapping[str, Any]) -> bool:
    """Return whether a request was sent by a proxy that the operator trusts."""
    return bool(scope.get("state", {}).get(IS_TRUSTED))


def is_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
