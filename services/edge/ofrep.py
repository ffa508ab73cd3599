"""OpenFeature Remote Evaluation Protocol: evaluation of one flag or all flags, and a stream of changes.

https://github.com/open-feature/protocol (0.3.0). OpenFeature SDKs use it through their OFREP providers.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sluiceway.client.evaluation_context import user_from_context
from sluiceway.client.flags import ERROR_CODES, REASONS, evaluate_flag, metadata_of, variant_of
from sluiceway.client.region_rules import RegionRules
from sluiceway.clock import now_ms
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.evaluation.results import Evaluation, Reason
from sluiceway.http.request_body import BodyTooLarge, read_body
from sluiceway.http.server_sent_events import MEDIA_TYPE, encode_comment, encode_event

from . import metrics
from .connection_limits import CONTEXT_BYTES_MAX, WAITING_MAX, ConnectionLimit, LimitReached
from .key_store import KeyStore
from .public_address import PublicAddress
from .specs import SpecFeed

#: How long the URL of an event stream is valid; then its client must evaluate all flags again.
TOKEN_SECONDS = 3_600
#: A stream sends something at least this often, so that proxies keep it open.
KEEP_ALIVE_SECONDS = 25.0
SSE_INACTIVITY_SECONDS = 120

EVENTS = "/ofrep/v1/events"
NOT_READY = "this edge has no complete set of rules yet; try again later"
STATUS = {"FLAG_NOT_FOUND": 404, "PROVIDER_NOT_READY": 503, "GENERAL": 500}


class InvalidContext(ValueError):
    """The request has no valid evaluation context."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code


class OfrepRoutes:
    """The routes of OpenFeature clients."""

    def __init__(
        self,
        rules: RegionRules,
        feed: SpecFeed,
        keys: KeyStore,
        is_stale: Callable[[], bool],
        address: PublicAddress,
    ) -> None:
        self._rules = rules
        self._feed = feed
        self._keys = keys
        self._is_stale = is_stale
        self._address = address
        self._listeners = ConnectionLimit(WAITING_MAX)

    def routes(self) -> list[Route]:
        return [
            Route("/ofrep/v1/evaluate/flags/{key}", self.evaluate, methods=["POST"]),
            Route("/ofrep/v1/evaluate/flags", self.evaluate_all, methods=["POST"]),
            Route(EVENTS, self.events, methods=["GET"]),
        ]

    async def evaluate(self, request: Request) -> Response:
        """Return one flag."""
        if not self._is_authorized(request):
            return _json({"errorDetails": "unauthorized"}, 401)
        key = request.path_params["key"]
        try:
            context = await _context(request)
            item = self._item(key, context)
        except InvalidContext as error:
            item = {"key": key, "errorCode": error.code, "errorDetails": str(error)}
        code = item.get("errorCode")
        metrics.EVALUATIONS.labels(code or "answered").inc()
        return _json(item, STATUS.get(code, 400) if code else 200)

    async def evaluate_all(self, request: Request) -> Response:
        """Return all flags, or 304 if the client already has these values."""
        if not self._is_authorized(request):
            return _json({"errorDetails": "unauthorized"}, 401)
        try:
            context = await _context(request)
        except InvalidContext as error:
            return _json({"errorCode": error.code, "errorDetails": str(error)}, 400)
        if not self._rules.is_whole:
            return _json({"errorCode": "PROVIDER_NOT_READY", "errorDetails": NOT_READY}, 503)
        etag = self._etag(context)
        headers = {"etag": etag}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        keys = [key for key in self._rules.raw_documents() if key.kind is not FeatureKind.SEGMENT]
        flags = [self._item(name, context) for name in sorted({key.name for key in keys})]
        metrics.EVALUATIONS.labels("answered").inc(len(flags))
        expires = now_ms() // 1_000 + TOKEN_SECONDS
        stream = {
            "type": "sse",
            "endpoint": {
                "requestUri": f"{self._address.path}{EVENTS}?expires={expires}&token={self._token(expires)}"
            },
            "inactivityDelaySec": SSE_INACTIVITY_SECONDS,
        }
        return _json({"flags": flags, "metadata": {}, "eventStreams": [stream]}, 200, headers)

    async def events(self, request: Request) -> Response:
        """Stream one event for each change. The URL holds the credential: browsers send no header."""
        expires = request.query_params.get("expires", "")
        is_number = expires.isascii() and expires.isdigit() and len(expires) < 15
        token = self._token(int(expires)) if is_number else ""
        if not hmac.compare_digest(token, request.query_params.get("token", "")) or not token:
            return _json({"errorDetails": "unauthorized"}, 401)
        if int(expires) * 1_000 < now_ms():
            return _json({"errorDetails": "this URL has expired; evaluate all flags again"}, 401)
        headers = {"cache-control": "no-store"}
        return StreamingResponse(self._changes(), headers=headers, media_type=MEDIA_TYPE)

    async def _changes(self) -> AsyncIterator[bytes]:
        try:
            with self._listeners.acquire():
                yield encode_comment("listening")
                known = await self._feed.wait_for_latest()
                while not self._feed.is_closed:
                    newer = await self._feed.wait_for_newer(known.time, known.checksum, KEEP_ALIVE_SECONDS)
                    if newer is None:
                        yield encode_comment("keep-alive")
                        continue
                    known = newer
                    notice = {
                        "type": "refetchEvaluation",
                        "etag": f'"{newer.checksum}"',
                        "lastModified": now_ms() // 1_000,
                    }
                    yield encode_event("message", notice, newer.time)
        except LimitReached:
            yield b"event: error\ndata: too many listeners\n\n"

    def _item(self, key: str, context: Mapping[str, Any]) -> dict[str, Any]:
        answer = evaluate_flag(self._rules, user_from_context(context), key)
        if answer.reason in ERROR_CODES:
            return {
                "key": key,
                "errorCode": ERROR_CODES[answer.reason],
                "errorDetails": f"{key}: {answer.reason}",
            }
        has_id = context.get("targetingKey") or context.get("customIDs")
        if answer.reason is Reason.SPLIT and not has_id:
            return {
                "key": key,
                "errorCode": "TARGETING_KEY_MISSING",
                "errorDetails": f"{key} passes a percentage of users: set a targetingKey",
            }
        return {
            "key": key,
            "value": answer.value,
            "reason": "STALE" if self._is_stale() else REASONS[answer.reason],
            "variant": variant_of(answer),
            "metadata": self._metadata(answer),
        }

    def _metadata(self, answer: Evaluation) -> dict[str, Any]:
        return {**metadata_of(answer), "region": self._rules.region}

    def _etag(self, context: Mapping[str, Any]) -> str:
        payload = self._feed.latest()
        inputs = json.dumps([context, self._is_stale(), payload.checksum if payload else ""], sort_keys=True)
        return f'"{hashlib.sha256(inputs.encode("utf-8", "surrogatepass")).hexdigest()[:32]}"'

    def _token(self, expires: int) -> str:
        return self._keys.token(f"events {self._rules.region} {expires}")

    def _is_authorized(self, request: Request) -> bool:
        """Return whether the request has credentials, and all of them are valid."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        presented = [bearer.strip() if scheme.lower() == "bearer" else scheme] if scheme else []
        presented += request.headers.getlist("x-api-key")
        return bool(presented) and all(self._keys.is_authorized(key) for key in presented)


async def _context(request: Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(await read_body(request, CONTEXT_BYTES_MAX))
    except BodyTooLarge as error:
        raise InvalidContext("INVALID_CONTEXT", str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidContext("PARSE_ERROR", f"the body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidContext("PARSE_ERROR", "the body is nested too deeply") from error
    context = body.get("context") if isinstance(body, dict) else None
    if not isinstance(context, dict):
        raise InvalidContext("INVALID_CONTEXT", 'no context: send {"context": {"targetingKey": …, …}}')
    if not isinstance(context.get("targetingKey", ""), str):
        raise InvalidContext("INVALID_CONTEXT", "targetingKey must be a string")
    return context


def _json(body: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")
