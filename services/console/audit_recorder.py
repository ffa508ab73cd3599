"""Records sign-ins, the use of keys, and what the console itself refuses, in the stream AUDIT."""

import time
from collections.abc import Callable
from typing import Any

from cachetools import TTLCache
from fastapi import Request

from sluiceway.contracts.audit_records import AuditEvent, AuditType
from sluiceway.contracts.identity import ApiKey, Identity
from sluiceway.messaging.audit_trail import AuditTrail

#: Paths of the pages for signing in, the provider's answer included.
SIGN_IN_PAGES = "/sign-in"
#: The use of a key is recorded once in this time for each address.
KEY_USE_SECONDS = 3_600.0
#: Pairs of keys and addresses remembered.
KEY_USES_MAX = 10_000


class AuditRecorder:
    """Turns what happens to requests into audit events; nothing waits for it.

    Until the console has caught up, it refuses everything with 503, and nothing is recorded.
    """

    def __init__(self, find_trail: Callable[[], AuditTrail | None]) -> None:
        """`find_trail` returns None until the console has caught up."""
        self._find_trail = find_trail
        self._key_uses: TTLCache[tuple[str, int, str], None] = TTLCache(
            KEY_USES_MAX, KEY_USE_SECONDS, timer=time.monotonic
        )

    def signed_in(self, request: Request, identity: Identity) -> None:
        self._record(request, AuditType.SIGNED_IN, identity)

    def sign_in_failed(self, request: Request, reason: str) -> None:
        self._record(request, AuditType.SIGN_IN_FAILED, None, reason=reason)

    def signed_out(self, request: Request, identity: Identity, *, everywhere: bool) -> None:
        type_ = AuditType.SIGNED_OUT_EVERYWHERE if everywhere else AuditType.SIGNED_OUT
        self._record(request, type_, identity)

    def key_used(self, request: Request, key: ApiKey) -> None:
        """Record the use of a key, unless it was used from there within the last hour."""
        use = (key.id, key.created_ms, _address(request) or "")
        if use not in self._key_uses:
            self._key_uses[use] = None
            self._record(request, AuditType.KEY_USED, key.identity)

    def key_refused(self, request: Request, key_id: str) -> None:
        """Record that a key was sent that is not valid; `key_id` is what it says of itself."""
        self._record(request, AuditType.KEY_REFUSED, None, about=f"key {key_id}" if key_id else "")

    def refused(self, request: Request, status: int, reason: str) -> None:
        """Record a request that the console refuses with 401 or 403 itself."""
        if request.url.path.startswith(SIGN_IN_PAGES):
            self.sign_in_failed(request, reason)
        elif status == 403:
            identity: Identity | None = getattr(request.state, "user", None)
            about = f"{request.method} {request.url.path}"
            self._record(request, AuditType.DENIED, identity, about=about, code=str(status), reason=reason)

    def _record(self, request: Request, type_: AuditType, identity: Identity | None, **fields: Any) -> None:
        trail = self._find_trail()
        if trail is None:
            return
        event = AuditEvent(
            type=type_,
            time_ms=trail.clock(),
            actor=identity.name if identity else None,
            account=identity.account if identity else None,
            vouched_by=identity.vouched_by if identity else None,
            address=_address(request),
            **fields,
        )
        trail.record(event)


def audit_recorder(request: Request) -> AuditRecorder:
    """Return the recorder of the application that serves a request."""
    recorder: AuditRecorder = request.app.state.audit
    return recorder


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None
