"""The routes of the official Statsig Server Core SDKs: specs with long polling, id lists, events.

Point their `specs_url` to `/v2/download_config_specs`, their `id_lists_url` to `/v1/get_id_lists` and
their `log_event_url` to `/v1/log_event`.
"""

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sluiceway.contracts.catalogue import SdkKey
from sluiceway.http.concurrency_limit import ConcurrencyLimit, LimitReached
from sluiceway.http.request_body import BodyTooLarge, skip_body

from . import metrics
from .key_store import KeyStore
from .limits import EVENTS_BYTES_MAX, EVENTS_MAX, RETRY_AFTER_SECONDS
from .numbers import InvalidNumber, whole_number
from .poll_reports import PollReports
from .public_address import PublicAddress
from .specs import FIRST_WAIT_SECONDS, PayloadText, SpecFeed, SpecPayload

#: How long a request waits if nothing is new; the SDKs give up after 10 s.
HOLD_SECONDS = 8.0
NOTHING_NEW = b'{"has_updates":false}'
#: Smaller bodies are not compressed: that would cost more than it saves.
COMPRESSED_FROM_BYTES = 1_000

_RANGE = re.compile(r"bytes=([0-9]+)-[0-9]*")

#: Returns one of the texts of a payload.
Form = Callable[[SpecPayload], PayloadText]


class StatsigRoutes:
    """The routes of the official SDKs."""

    def __init__(
        self,
        feed: SpecFeed,
        keys: KeyStore,
        poll_reports: PollReports,
        address: PublicAddress,
        waiting: ConcurrencyLimit,
    ) -> None:
        self._feed = feed
        self._keys = keys
        self._poll_reports = poll_reports
        self._address = address
        self._waiting = waiting

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
        """Return all specs; if the SDK already has them, wait for a change first."""
        return await self._answer(request, lambda published: published.specs)

    async def documents(self, request: Request) -> Response:
        """Return the same to our own client, as the rule documents that were published."""
        return await self._answer(request, lambda published: published.documents)

    async def _answer(self, request: Request, form: Form) -> Response:
        key = self._key(request)
        if key is None:
            return _unauthorized()
        # A fifth of the time of `request.query_params`, and every poll has some.
        query = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        try:
            time = whole_number("sinceTime (in milliseconds)", query.get("sinceTime") or "0")
        except InvalidNumber as error:
            return JSONResponse({"message": str(error)}, status_code=400)
        # The SDKs escape the checksum twice.
        checksum = unquote(query["checksum"]) if "checksum" in query else None
        published = self._feed.latest() or await self._feed.wait_for_first(FIRST_WAIT_SECONDS)
        if published is None:
            return _not_ready()
        if time:
            self._report_applied(request, key, time, checksum)
            if not published.is_newer_than(time, checksum):
                return await self._wait_for_newer(request, form, time, checksum, key)
        return await _full(request, form(published))

    async def lists(self, request: Request) -> Response:
        """Return the names and sizes of the id lists."""
        published = self._feed.latest()
        if not self._is_authorized(request):
            return _unauthorized()
        if published is None:
            return _not_ready()
        base = self._address.url(request)
        return JSONResponse(
            {
                name: {
                    "name": name,
                    "url": f"{base}/v1/id_lists/{quote(name, safe='')}",
                    "fileID": members.file_id,
                    "size": len(members.content),
                    "creationTime": members.created,
                }
                for name, members in published.member_lists.items()
            }
        )

    async def members(self, request: Request) -> Response:
        """Return an id list, from the requested byte."""
        published = self._feed.latest()
        if not self._is_authorized(request):
            return _unauthorized()
        if published is None:
            return _not_ready()
        name = request.path_params["name"]
        found = published.member_lists.get(name)
        if found is None:
            return JSONResponse({"message": f"unknown id list {name!r}"}, status_code=404)
        try:
            start = _range_start(request.headers.get("range", ""))
        except InvalidNumber as error:
            return JSONResponse({"message": str(error)}, status_code=400)
        return Response(found.content[start:], 206 if start else 200, media_type="text/plain")

    async def events(self, request: Request) -> Response:
        """Count a batch of events; it is not stored."""
        if not self._is_authorized(request):
            return _unauthorized()
        try:
            count = _event_count(request)
            await skip_body(request, EVENTS_BYTES_MAX)
        except InvalidNumber as error:
            return JSONResponse({"success": False, "message": str(error)}, status_code=400)
        except BodyTooLarge as error:
            return JSONResponse({"success": False, "message": str(error)}, status_code=413)
        metrics.SDK_EVENTS.inc(count)
        return JSONResponse({"success": True}, status_code=202)

    async def _wait_for_newer(
        self, request: Request, form: Form, time: int, checksum: str | None, key: SdkKey
    ) -> Response:
        try:
            with self._waiting.acquire(key.id):
                newer = await self._feed.wait_for_newer(
                    time, checksum, HOLD_SECONDS, lambda: self._keys.is_valid(key)
                )
        except LimitReached as error:
            return _too_many(error)
        if not self._keys.is_valid(key):
            return _unauthorized()
        return (
            await _full(request, form(newer))
            if newer
            else Response(NOTHING_NEW, media_type="application/json")
        )

    def _report_applied(self, request: Request, key: SdkKey, time: int, checksum: str | None) -> None:
        """Report which rules the process has; a payload with the same checksum counts as the newest."""
        if place := self._feed.place(time, checksum):
            session = request.headers.get("statsig-server-session-id", "")
            # While a new set is read, nothing of RULES as it is now is applied.
            applied = place if self._feed.is_complete() else place._replace(sequence=0)
            self._poll_reports.add(key.id, session, applied)

    def _is_authorized(self, request: Request) -> bool:
        return self._key(request) is not None

    def _key(self, request: Request) -> SdkKey | None:
        key = request.headers.get("statsig-api-key") or request.path_params.get("key", "")
        return self._keys.find(key.removesuffix(".json"))


async def _full(request: Request, text: PayloadText) -> Response:
    if len(text) < COMPRESSED_FROM_BYTES or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(text.text, media_type="application/json")
    headers = {"content-encoding": "gzip", "vary": "accept-encoding"}
    return Response(await text.compressed(), headers=headers, media_type="application/json")


def _event_count(request: Request) -> int:
    """Return how many events a batch says it has; one, if it says nothing."""
    return whole_number("statsig-event-count", request.headers.get("statsig-event-count", "1"), EVENTS_MAX)


def _range_start(header: str) -> int:
    """Return the first byte of a range, as the SDKs send it; other forms are ignored, as RFC 9110 allows."""
    range_ = _RANGE.fullmatch(header)
    return whole_number("start of the range", range_[1]) if range_ else 0


def _not_ready() -> Response:
    return JSONResponse({"message": "this edge has no complete set of rules yet; try again later"}, 503)


def _too_many(error: LimitReached) -> Response:
    text = f"too many held polls and event streams: {error}; try again in {RETRY_AFTER_SECONDS} s"
    return JSONResponse({"message": text}, 429, headers={"retry-after": str(RETRY_AFTER_SECONDS)})


def _unauthorized() -> Response:
    return JSONResponse({"message": "unauthorized"}, status_code=401)
