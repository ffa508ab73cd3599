"""What the official Statsig Server Core SDKs ask for: specs with long polling, id lists, an event sink.

Point their `specs_url` to `/v2/download_config_specs`, their `id_lists_url` to `/v1/get_id_lists` and
their `log_event_url` to `/v1/log_event`.
"""

from collections.abc import Callable
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sluiceway.http.request_body import BodyTooLarge, read_body

from . import metrics
from .connection_limits import EVENTS_BYTES_MAX, WAITING_MAX, ConnectionLimit, LimitReached
from .key_store import KeyStore
from .poll_reports import PollReports
from .specs import FIRST_WAIT_SECONDS, SpecFeed, SpecPayload

#: A request that is up to date is held for so long; the SDKs give up after 10 s.
HOLD_SECONDS = 8.0
NOTHING_NEW = b'{"has_updates":false}'
#: Below this, compression costs more than it saves.
COMPRESSED_FROM_BYTES = 1_000

#: Which of its texts a payload is asked for.
Form = Callable[[SpecPayload], bytes]


class StatsigRoutes:
    """The routes of the official SDKs."""

    def __init__(self, feed: SpecFeed, keys: KeyStore, polls: PollReports) -> None:
        self._feed = feed
        self._keys = keys
        self._polls = polls
        self._waiting = ConnectionLimit(WAITING_MAX)

    def routes(self) -> list[Route]:
        specs = "download_config_specs"
        return [
            *(Route(f"/v{n}/{specs}/{{key:path}}", self.specs, methods=["GET"]) for n in (1, 2)),
            *(Route(f"/v{n}/{specs}", self.specs, methods=["GET"]) for n in (1, 2)),
            Route("/sluiceway/v1/rules", self.documents, methods=["GET"]),
            Route("/v1/get_id_lists", self.lists, methods=["GET", "POST"]),
            Route("/v1/id_lists/{name}", self.members, methods=["GET"]),
            Route("/v1/log_event", self.events, methods=["POST"]),
            Route("/v1/rgstr", self.events, methods=["POST"]),
        ]

    async def specs(self, request: Request) -> Response:
        """Answer with the whole set; where the SDK has it already, wait for a change first."""
        return await self._answer(request, lambda published: published.text)

    async def documents(self, request: Request) -> Response:
        """Answer our own client likewise, with the rule documents as they were published."""
        return await self._answer(request, lambda published: published.documents)

    async def _answer(self, request: Request, form: Form) -> Response:
        if not self._may(request):
            return _unauthorized()
        query = request.query_params
        try:
            time = int(query.get("sinceTime") or 0)
        except ValueError:
            return JSONResponse({"message": "sinceTime is a number of milliseconds"}, status_code=400)
        # The SDKs escape it twice.
        checksum = unquote(query["checksum"]) if "checksum" in query else None
        published = self._feed.now() or await self._feed.first(FIRST_WAIT_SECONDS)
        if published is None:
            return JSONResponse({"message": "this edge has no rules yet"}, status_code=503)
        if time:
            self._acknowledge(request, time, checksum, published)
            if not published.is_newer_than(time, checksum):
                return await self._held(request, form, time, checksum)
        return await _full(request, published, form(published))

    async def lists(self, request: Request) -> Response:
        """Answer with the manifest of the id lists."""
        published = self._feed.now()
        if not self._may(request):
            return _unauthorized()
        base = str(request.base_url).rstrip("/")
        return JSONResponse(
            {
                name: {
                    "name": name,
                    "url": f"{base}/v1/id_lists/{quote(name, safe='')}",
                    "fileID": members.file_id,
                    "size": len(members.content),
                    "creationTime": members.created,
                }
                for name, members in (published.member_lists if published else {}).items()
            }
        )

    async def members(self, request: Request) -> Response:
        """Answer with an id list from the byte on that is asked for."""
        published = self._feed.now()
        if not self._may(request):
            return _unauthorized()
        found = published.member_lists.get(request.path_params["name"]) if published else None
        if found is None:
            return JSONResponse({"message": "there is no such list"}, status_code=404)
        start = _range_start(request.headers.get("range", ""))
        return Response(found.content[start:], 206 if start else 200, media_type="text/plain")

    async def events(self, request: Request) -> Response:
        """Take a batch of events, count it, and forget it."""
        if not self._may(request):
            return _unauthorized()
        try:
            await read_body(request, EVENTS_BYTES_MAX)
        except BodyTooLarge as error:
            return JSONResponse({"success": False, "message": str(error)}, status_code=413)
        count = request.headers.get("statsig-event-count", "")
        metrics.SDK_EVENTS.inc(int(count) if count.isascii() and count.isdigit() else 1)
        return JSONResponse({"success": True}, status_code=202)

    async def _held(self, request: Request, form: Form, time: int, checksum: str | None) -> Response:
        try:
            with self._waiting.one():
                newer = await self._feed.newer(time, checksum, HOLD_SECONDS)
        except LimitReached:
            newer = None
        return (
            await _full(request, newer, form(newer))
            if newer
            else Response(NOTHING_NEW, media_type="application/json")
        )

    def _acknowledge(self, request: Request, time: int, checksum: str | None, published: SpecPayload) -> None:
        """Report what the process says that it holds; a set that says the same counts as the newest."""
        session = request.headers.get("statsig-server-session-id", "")
        is_newest = checksum == published.checksum if checksum else time >= published.time
        sequence = published.sequence if is_newest else time - published.epoch
        if 0 <= sequence <= published.sequence:
            self._polls.note(session, sequence)

    def _may(self, request: Request) -> bool:
        key = request.headers.get("statsig-api-key") or request.path_params.get("key", "")
        return self._keys.is_authorized(key.removesuffix(".json"))


async def _full(request: Request, published: SpecPayload, text: bytes) -> Response:
    if len(text) < COMPRESSED_FROM_BYTES or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(text, media_type="application/json")
    headers = {"content-encoding": "gzip", "vary": "accept-encoding"}
    return Response(await published.compressed(text), headers=headers, media_type="application/json")


def _range_start(header: str) -> int:
    start = header.removeprefix("bytes=").partition("-")[0]
    return int(start) if start.isascii() and start.isdigit() else 0


def _unauthorized() -> Response:
    return JSONResponse({"message": "unauthorized"}, status_code=401)
