"""OpenFeature Remote Evaluation Protocol: evaluation of one flag or all flags.

https://github.com/open-feature/protocol (0.3.0). OpenFeature SDKs use it through their OFREP providers.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from time import monotonic
from typing import Any

import msgspec
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sluiceway.client.evaluation_context import user_from_context
from sluiceway.client.flags import ERROR_CODES, REASONS, evaluate_flag, metadata_of, variant_of
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts.catalogue import SdkKey
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.json_depth import DEPTH_MAX, is_too_deep
from sluiceway.errors import Unavailable
from sluiceway.evaluation.patterns import CHECK_ALLOWANCE, RequestAllowance
from sluiceway.evaluation.results import Reason
from sluiceway.http.etags import EntityTag, tag_condition
from sluiceway.http.request_body import BodyTooLarge, read_body
from sluiceway.turns import Turns

from . import metrics
from .key_store import KeyStore
from .limits import CONTEXT_BYTES_MAX, RETRY_AFTER_SECONDS
from .ofrep_events import SSE_INACTIVITY_SECONDS, OfrepEvents
from .specs import SpecFeed

NOT_READY = "this edge has no complete set of rules yet; try again later"
#: Of an answer with a tag: its client may keep it, and asks each time.
REVALIDATED = "private, no-cache"
#: Seconds in which flags are evaluated before other requests are answered.
SLICE_SECONDS = 0.005
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
        events: OfrepEvents,
    ) -> None:
        self._rules = rules
        self._feed = feed
        self._keys = keys
        self._is_stale = is_stale
        self._events = events
        self._turns = Turns()

    def routes(self) -> list[Route]:
        return [
            Route("/ofrep/v1/evaluate/flags/{key}", self.evaluate, methods=["POST"]),
            Route("/ofrep/v1/evaluate/flags", self.evaluate_all, methods=["POST"]),
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
        _counter(code or "answered").inc()
        return _json(item, STATUS.get(code, 400) if code else 200)

    async def evaluate_all(self, request: Request) -> Response:
        """Return all flags, or 304 if the client already has them, with an address that is still fresh."""
        key = self._key(request)
        if key is None:
            return _json({"errorDetails": "unauthorized"}, 401)
        try:
            context = await _context(request)
        except InvalidContext as error:
            return _json({"errorCode": error.code, "errorDetails": str(error)}, 400)
        if not self._rules.is_whole:
            return _json({"errorCode": "PROVIDER_NOT_READY", "errorDetails": NOT_READY}, 503)
        request_uri, etag = self._versions(context, key)
        headers = {"etag": str(etag), "cache-control": REVALIDATED}
        if _is_known(request, etag):
            return Response(status_code=304, headers=headers)
        try:
            async with self._turns.of(f"all flags with the SDK key {key.id}"):
                flags = await self._items(context)
        except Unavailable as error:
            details = f"{error}; try again in {RETRY_AFTER_SECONDS} s"
            return _json({"errorDetails": details}, 429, {"retry-after": str(RETRY_AFTER_SECONDS)})
        _counter("answered").inc(len(flags))
        stream = {
            "type": "sse",
            "endpoint": {"requestUri": request_uri},
            "inactivityDelaySec": SSE_INACTIVITY_SECONDS,
        }
        return _json({"flags": flags, "metadata": {}, "eventStreams": [stream]}, 200, headers)

    async def _items(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return all flags; others are answered in between, and slow searches are bounded together."""
        await asyncio.sleep(0)
        flags, allowance, slice_end = [], RequestAllowance(), monotonic() + SLICE_SECONDS
        for name in self._flag_names():
            if monotonic() > slice_end:
                await asyncio.sleep(0)
                slice_end = monotonic() + SLICE_SECONDS
            with CHECK_ALLOWANCE.of(allowance):
                flags.append(self._item(name, context))
        return flags

    def _flag_names(self) -> list[str]:
        keys = self._rules.raw_documents()
        return sorted({key.name for key in keys if key.kind is not FeatureKind.SEGMENT})

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
            "metadata": {**metadata_of(answer), "region": self._rules.region},
        }

    def _versions(self, context: Mapping[str, Any], key: SdkKey) -> tuple[str, EntityTag]:
        """Return the address of the client's event stream, and the tag of its flags with that address."""
        payload = self._feed.latest(is_exact=True)
        client = json.dumps(context, sort_keys=True).encode("utf-8", "surrogatepass")
        request_uri = self._events.request_uri(key, client, payload.checksum if payload else "")
        inputs = b"\n".join((client, str(self._is_stale()).encode(), request_uri.encode()))
        return request_uri, EntityTag(hashlib.sha256(inputs).hexdigest()[:32])

    def _is_authorized(self, request: Request) -> bool:
        return self._key(request) is not None

    def _key(self, request: Request) -> SdkKey | None:
        """Return the key of a request; None if it has none, or if one of several is not valid."""
        found = [self._keys.find(key) for key in _presented_keys(request)]
        return found[0] if found and all(found) else None


def _presented_keys(request: Request) -> list[str]:
    """Return what is presented as a key, in the order of the header fields."""
    presented = []
    for name, value in request.scope["headers"]:
        if name == b"x-api-key":
            presented.append(value.decode("latin-1"))
        elif name == b"authorization":
            scheme, _, bearer = value.decode("latin-1").partition(" ")
            if scheme:
                presented.append(bearer.strip() if scheme.lower() == "bearer" else scheme)
    return presented


def _is_known(request: Request, etag: EntityTag) -> bool:
    """Return whether the client has what the tag stands for; a header that cannot be read says nothing."""
    try:
        condition = tag_condition(request.headers.getlist("if-none-match"))
    except ValueError:
        return False
    return condition is not None and condition.matches_weakly(etag)


async def _context(request: Request) -> dict[str, Any]:
    try:
        text = await read_body(request, CONTEXT_BYTES_MAX)
        body = msgspec.json.decode(text)
    except BodyTooLarge as error:
        raise InvalidContext("INVALID_CONTEXT", str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidContext("PARSE_ERROR", f"the body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidContext("PARSE_ERROR", "the body is nested too deeply") from error
    if is_too_deep(text):
        raise InvalidContext("PARSE_ERROR", f"the body is nested more than {DEPTH_MAX} levels deep")
    context = body.get("context") if isinstance(body, dict) else None
    if not isinstance(context, dict):
        raise InvalidContext("INVALID_CONTEXT", 'no context: send {"context": {"targetingKey": …, …}}')
    if not isinstance(context.get("targetingKey", ""), str):
        raise InvalidContext("INVALID_CONTEXT", "targetingKey must be a string")
    return context


@cache
def _counter(outcome: str) -> Counter:
    """Return the counter of an outcome; there is one for each error code of OpenFeature."""
    return metrics.EVALUATIONS.labels(outcome)


def _json(body: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Response:
    response = _EvaluationResponse(msgspec.json.encode(body), status)
    if headers:
        response.headers.update(headers)
    return response


class _EvaluationResponse(Response):
    """JSON; each evaluation has one: its fields are written without a look for those that it lacks."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
        ]
