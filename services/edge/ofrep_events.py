"""The event streams of OpenFeature clients: they say when to evaluate all flags again.

Browsers send no header with a stream, so its address holds the credential: a token of the client's key,
which opens streams for an hour. It is made from the key itself: those who can read the digests of keys
cannot make one, and each edge that has been shown the key can check it. A client gets a new address when it
evaluates: the ETag of its flags covers the address. So a stream says in time that its client must evaluate
again, and goes on as long as the key is valid. With an address that no longer opens a stream, a client gets
status 401: official providers evaluate.
"""

import hashlib
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sluiceway.clock import now_ms
from sluiceway.contracts.catalogue import SdkKey
from sluiceway.http.concurrency_limit import ConcurrencyLimit, LimitReached
from sluiceway.http.server_sent_events import encode_comment, encode_event

from .event_stream import EventStreamResponse
from .key_store import KeyStore
from .limits import RETRY_AFTER_SECONDS
from .numbers import InvalidNumber, whole_number
from .public_address import PublicAddress
from .specs import SpecFeed, SpecPayload

PATH = "/ofrep/v1/events"
#: How long an address opens streams.
TOKEN_SECONDS = 3_600
#: A client gets a new address this often, well before the old one expires.
RENEW_SECONDS = 1_200
#: A stream sends something at least this often, so that proxies keep it open.
KEEP_ALIVE_SECONDS = 25.0
SSE_INACTIVITY_SECONDS = 120
#: Proxies must neither store nor collect what is sent.
HEADERS = {"cache-control": "private, no-store", "x-accel-buffering": "no"}


class _Ticket(NamedTuple):
    """What an address says, if its token is right."""

    key: SdkKey
    #: In seconds since the epoch.
    expires: int
    #: The checksum of the rules that the client has evaluated.
    known: str


class OfrepEvents:
    """The addresses of event streams, and the streams."""

    def __init__(
        self,
        region: str,
        feed: SpecFeed,
        keys: KeyStore,
        address: PublicAddress,
        listeners: ConcurrencyLimit,
    ) -> None:
        self._region = region
        self._feed = feed
        self._keys = keys
        self._address = address
        self._listeners = listeners

    def routes(self) -> list[Route]:
        return [Route(PATH, self.listen, methods=["GET"])]

    def request_uri(self, key: SdkKey, client: bytes, known: str) -> str:
        """Return the address of a stream. It stays the same until it is renewed or the rules change.

        Clients with other contexts (`client`) renew theirs at other times, so that they come one by one.
        """
        offset = int.from_bytes(hashlib.sha256(client).digest()[:4]) % RENEW_SECONDS
        now = now_ms() // 1_000
        expires = now - (now + offset) % RENEW_SECONDS + TOKEN_SECONDS
        token = self._token(key, expires) or ""
        query = {"key": key.id, "expires": expires, "known": known, "token": token}
        return f"{self._address.path}{PATH}?{urlencode(query)}"

    async def listen(self, request: Request) -> Response:
        """Stream one event for each change."""
        ticket = self._ticket(request.query_params)
        if ticket is None:
            return _refused("unauthorized")
        if ticket.expires * 1_000 < now_ms():
            return _refused("this address has expired; evaluate all flags again to get a new one")
        try:
            self._listeners.check(ticket.key.id)
        except LimitReached as error:
            details = f"too many event streams: {error}; try again in {RETRY_AFTER_SECONDS} s"
            return _refused(details, 429, {"retry-after": str(RETRY_AFTER_SECONDS)})
        known = request.headers.get("last-event-id") or ticket.known
        return EventStreamResponse(self._events(ticket, known), HEADERS)

    async def _events(self, ticket: _Ticket, known: str) -> AsyncGenerator[bytes, None]:
        try:
            with self._listeners.acquire(ticket.key.id):
                yield encode_comment("listening")
                async for event in self._changes(ticket, known):
                    yield event
        except LimitReached:
            yield b"event: error\ndata: too many listeners\n\n"

    async def _changes(self, ticket: _Ticket, known: str) -> AsyncIterator[bytes]:
        """Yield events until the key is revoked.

        The first one comes immediately if the client has not evaluated the newest rules: what changes while
        no stream is open would be lost otherwise.
        """
        latest = self._feed.latest()
        if latest and latest.checksum != known:
            yield _notice(latest)
        renew_ms = (ticket.expires - RENEW_SECONDS) * 1_000
        while self._keys.is_valid(ticket.key) and not self._feed.is_closed:
            newer = await self._feed.wait_for_newer(
                latest.time if latest else 0,
                latest.checksum if latest else None,
                max(0.0, min(KEEP_ALIVE_SECONDS, (renew_ms - now_ms()) / 1_000)),
                lambda: self._keys.is_valid(ticket.key),
            )
            if not self._keys.is_valid(ticket.key):
                return
            is_due = now_ms() >= renew_ms
            if is_due:
                renew_ms = now_ms() + RENEW_SECONDS * 1_000
            latest = newer or latest
            yield _notice(latest) if latest and (newer or is_due) else encode_comment("keep-alive")

    def _ticket(self, query: QueryParams) -> _Ticket | None:
        """Return what an address says; None if its token is wrong or its key does not give access."""
        key = self._keys.find_by_id(query.get("key", ""))
        try:
            expires = whole_number("expires", query.get("expires", ""))
        except InvalidNumber:
            return None
        expected = self._token(key, expires) if key else None
        token = query.get("token", "").encode("utf-8", "surrogatepass")
        if key is None or expected is None or not hmac.compare_digest(expected.encode(), token):
            return None
        return _Ticket(key, expires, query.get("known", ""))

    def _token(self, key: SdkKey, expires: int) -> str | None:
        """Return what proves, to each replica, that the holder of a key may listen until then.

        None if this replica cannot know it yet: its client evaluates, which shows it the key.
        """
        secret = self._keys.stream_secret(key)
        purpose = f"events {self._region} {expires}"
        return hmac.new(secret, purpose.encode(), hashlib.sha256).hexdigest() if secret else None


def _notice(payload: SpecPayload) -> bytes:
    data: dict[str, Any] = {
        "type": "refetchEvaluation",
        "etag": f'"{payload.checksum}"',
        "lastModified": now_ms() // 1_000,
    }
    return encode_event("message", data, payload.checksum)


def _refused(details: str, status: int = 401, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"errorDetails": details}, status, headers)
