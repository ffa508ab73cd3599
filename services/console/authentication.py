"""Who calls: a key in a header, or somebody who is signed in on the page."""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from typing import Any

from fastapi import HTTPException, Request

from sluiceway import console_keys
from sluiceway.clock import Clock
from sluiceway.contracts.identity import CONSOLE, ApiKey, Identity

from .backend import BackendHolder
from .limits import RateLimiter
from .oidc import Provider

#: The header of the official Console API; `Authorization: Bearer` is taken as well.
KEY_HEADER = "STATSIG-API-KEY"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Keys that were proved lately, so that Argon2 is asked once and not for every request.
PROVED_MAX = 10_000
#: Argon2 computations at a time, each with 19 MiB.
PROVING_MAX = 4
#: What somebody who shows nothing, or a wrong key, is told.
HOW = "show a key in the header STATSIG-API-KEY (sluiceway key create --role viewer --owner you)"


class KeyVerifier:
    """Proves keys. What was proved is remembered by a digest that means nothing outside this process."""

    def __init__(self, backend_holder: BackendHolder, clock: Clock) -> None:
        self._reception = backend_holder
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._proved: OrderedDict[bytes, str] = OrderedDict()
        self._places = asyncio.Semaphore(PROVING_MAX)

    async def identify(self, key: str) -> ApiKey | None:
        """Return the document of a valid key; None where it is wrong, revoked or has expired.

        Whichever of these it is takes the same time, the first time.
        """
        stored, digest = self.valid(console_keys.key_id(key)), self._digest(key)
        if stored and self._proved.get(digest) == stored.hash:
            self._proved.move_to_end(digest)
            return stored
        async with self._places:
            is_right = await asyncio.to_thread(console_keys.matches, key, stored.hash if stored else None)
        if not is_right or stored is None:
            return None
        self._proved[digest] = stored.hash
        while len(self._proved) > PROVED_MAX:
            self._proved.popitem(last=False)
        return stored

    def was_proved(self, key: str) -> bool:
        """Say whether a key was right lately, so that it costs nothing to look at it again."""
        return self._digest(key) in self._proved

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._secret, key.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def valid(self, id_: str) -> ApiKey | None:
        """Return the key of this id, unless it is revoked or has expired."""
        stored = self._reception().catalogue.get("api_key", id_)
        key = stored.document if stored else None
        return key if isinstance(key, ApiKey) and not key.has_expired(self._clock()) else None


class Authentication:
    """Finds out who calls."""

    def __init__(
        self, keys: KeyVerifier, rate: RateLimiter, provider: Provider | None, session_ms: int, clock: Clock
    ) -> None:
        self.keys = keys
        self.provider = provider
        self._rate = rate
        self._session_ms = session_ms
        self._clock = clock

    async def caller(self, request: Request, key: str | None) -> Identity:
        """Return who calls; 401 where nobody is known, 403 where a page's request shows no CSRF token."""
        if key is not None:
            return await self._by_key(request, key)
        identity = self.signed_in(request)
        if identity is None:
            self._rate.take(_address(request))
            raise HTTPException(401, f"nobody is signed in; {HOW}", headers={"WWW-Authenticate": "Bearer"})
        self._rate.take(f"session {identity.name}")
        if request.method not in SAFE_METHODS:
            require_csrf(request, request.headers.get(CSRF_HEADER, ""))
        return identity

    def signed_in(self, request: Request) -> Identity | None:
        """Return who is signed in on the page, by what its key or its groups are granted now."""
        session: dict[str, Any] = request.scope.get("session", {})
        if key := self.keys.valid(str(session.get("key", ""))):
            return key.identity
        name, since_ms = session.get("name"), session.get("since", 0)
        if name is None or self.provider is None or self._clock() >= since_ms + self._session_ms:
            return None
        return self.provider.identity(name, tuple(session["groups"]))

    def visitor(self, request: Request) -> Identity | None:
        """Return who is signed in, and count that they asked for a page."""
        identity = self.signed_in(request)
        self._rate.take(f"session {identity.name}" if identity else _address(request))
        return identity

    async def prove(self, request: Request, key: str) -> ApiKey | None:
        """Return the document of a valid key, and count that its owner asked.

        What was not proved yet counts for its address: nobody uses up what another's key may ask.
        """
        if not self.keys.was_proved(key):
            self._rate.take(_address(request))
        stored = await self.keys.identify(key)
        if stored:
            self._rate.take(stored.id)
        return stored

    def is_still(self, request: Request, identity: Identity) -> bool:
        """Say whether somebody who was let in may stay: its key, or its session, is still valid."""
        if identity.vouched_by == CONSOLE:
            return self.signed_in(request) is not None
        return self.keys.valid(identity.vouched_by) is not None

    async def _by_key(self, request: Request, key: str) -> Identity:
        stored = await self.prove(request, key)
        if stored is None:
            message = f"this key is wrong, revoked or expired; {HOW}"
            raise HTTPException(401, message, headers={"WWW-Authenticate": "Bearer"})
        return stored.identity


def require_csrf(request: Request, shown: str) -> None:
    """403, unless a request shows the token of its session: only our own pages know it."""
    expected = str(request.scope.get("session", {}).get("csrf", ""))
    if not expected or not hmac.compare_digest(shown.encode(), expected.encode()):
        raise HTTPException(403, f"the page is too old or not ours; load it again ({CSRF_HEADER} is wrong)")


def _address(request: Request) -> str:
    return f"address {request.client.host}" if request.client else "nobody"
