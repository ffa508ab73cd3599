"""Where the clients of an edge reach it: under a host and a path that only its operator knows.

A header that anybody can send decides nothing: `Host` counts if a trusted proxy has sent it.
"""

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from starlette.requests import Request

from sluiceway.http.listening import authority
from sluiceway.http.proxies import MAPPED_PREFIX, is_from_trusted_proxy


class PublicAddress:
    """The URL of `SLUICEWAY_PUBLIC_URL`; without it, the address that a client or its proxy connected to."""

    def __init__(self, public_url: str | None) -> None:
        self._url = public_url
        #: What stands before the path of each route, for example `/edge`; empty if nothing does.
        self.path = urlsplit(public_url).path if public_url else ""
        self._decoded_path = unquote(self.path)

    def url(self, request: Request) -> str:
        """Return the URL to which the path of a route is added."""
        if self._url:
            return self._url
        if is_from_trusted_proxy(request.scope):
            return str(request.base_url).rstrip("/")
        host, port = request.scope["server"]
        return f"{request.scope['scheme']}://{authority(host.removeprefix(MAPPED_PREFIX), port)}"

    def route_path(self, path: str, is_route: Callable[[str], bool]) -> str:
        """Return the path of the route that a request means, whether or not a proxy has cut its own path off.

        Several slashes at the beginning count as one.
        """
        if not self.path and path[:1] == "/" != path[1:2]:
            return path
        path = "/" + path.lstrip("/")
        below = path.removeprefix(self._decoded_path)
        if not self.path or below == path or not below.startswith("/") or is_route(path):
            return path
        return "/" + below.lstrip("/")
