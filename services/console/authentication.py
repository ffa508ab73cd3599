"""Who sends a request: the owner of a key in a header, or somebody who is signed in on the page."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from cachetools import LRUCache
from fastapi import HTTPException, Request

from sluiceway import console_keys
from sluiceway.clock import Clock
from sluiceway.contracts.identity import CONSOLE, ApiKey, Identity
from sluiceway.errors import Unavailable
from sluiceway.fair_queue import SenderLimits
from sluiceway.http.connections import network_of
from sluiceway.turns import Turns

from .audit_recorder import audit_recorder
from .backend import BackendProvider
from .csrf import require_csrf_header
from .hash_queue import HashQueue
from .limits import RateLimiter
from .oidc import IdentityProvider
from .sessions import Session, read_session

#: The header of the official Console API; `Authorization: Bearer` is accepted as well.
KEY_HEADER = "STATSIG-API-KEY"
#: Keys whose Argon2 hash was verified lately, so that it is computed once and not for every request.
VERIFIED_KEYS_MAX = 10_000
#: In the scope of a request: the id of the key that it was authenticated with.
AUTHENTICATED_KEY = "sluiceway.key"
#: Sign-ins of one account through the identity provider: so many, then one a minute.
SIGN_INS_MAX = 20
SIGN_INS_PER_SECOND = 1 / 60
#: Argon2 computations at a time, each with 19 MiB, for keys whose id is known. One address has fewer.
HASHES_MAX = 3
KNOWN_ID_LIMITS = SenderLimits(per_second=None, burst=0, waiting=100, working=2)
#: Secrets from one address for one known id that are compared.
SECRETS_MAX = 20
SECRETS_PER_SECOND = 5
#: The same for ids that nobody has: they have a lane of their own, so that no known key is behind them.
UNKNOWN_HASHES_MAX = 1
UNKNOWN_ID_LIMITS = SenderLimits(per_second=5, burst=20, waiting=20, working=1)
#: The end of every 401: what to do.
HOW_TO_AUTHENTICATE = (
    "send a key in the header STATSIG-API-KEY (sluiceway key create --role viewer --owner you)"
)


class KeyVerifier:
    """Verifies keys.

    A verified key is remembered by a digest that is worthless outside this process.
    """

    def __init__(self, backend_provider: BackendProvider, clock: Clock) -> None:
        self._backend_provider = backend_provider
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._verified: LRUCache[bytes, str] = LRUCache(VERIFIED_KEYS_MAX)
        self._turns = Turns()
        self._secrets = RateLimiter(SECRETS_PER_SECOND, burst=SECRETS_MAX)
        self._known_ids = HashQueue(HASHES_MAX, KNOWN_ID_LIMITS)
        self._unknown_ids = HashQueue(UNKNOWN_HASHES_MAX, UNKNOWN_ID_LIMITS)

    async def verify(self, request: Request, key: str) -> ApiKey | None:
        """Return the document of a valid key; None if it is wrong, revoked or expired.

        A hash is computed in each of these cases, unless the text does not look like a key. Wrong secrets for
        an id delay and use up only what their own address may send for that id: others behind the same NAT,
        and keys that were verified before, are not affected. An id that this console does not know is looked
        for once more: its key may have been created a moment ago. While the broker is away, it is unknown.
        """
        id_ = console_keys.key_id(key)
        stored = self.valid_key(id_)
        if not id_ or self._is_verified(key, stored):
            return stored
        await request.body()  # the queue looks whether the client has left, which would lose a part of it
        if stored is None:
            await self._unknown_ids.run(request, _address(request), partial(console_keys.matches, key, None))
            with suppress(Unavailable):  # a wrong key is refused, and that recorded, also without the broker
                await self.catch_up()
        async with self._turns.of(f"key {id_} from {_address(request)}"):
            return await self._verify_known(request, id_, key)

    async def _verify_known(self, request: Request, id_: str, key: str) -> ApiKey | None:
        """Verify a key unless another request has done so meanwhile; it may have been revoked meanwhile."""
        stored = self.valid_key(id_)
        if stored is None or self._is_verified(key, stored):
            return stored
        self._secrets.consume(f"{id_} from {_address(request)}")
        matches = partial(console_keys.matches, key, stored.hash)
        if not await self._known_ids.run(request, _address(request), matches):
            return None
        self._verified[self._digest(key)] = stored.hash
        newest = self.valid_key(id_)
        return newest if self._is_verified(key, newest) else None

    def _is_verified(self, key: str, stored: ApiKey | None) -> bool:
        return stored is not None and self._verified.get(self._digest(key)) == stored.hash

    async def catch_up(self) -> None:
        """Return once this console knows each key that was created before this call."""
        await self._backend_provider().catalogue.catch_up()

    def was_verified(self, key: str) -> bool:
        """Return whether a valid key was verified lately, so that verifying it again costs nothing."""
        return self._is_verified(key, self.valid_key(console_keys.key_id(key)))

    def valid_key(self, key_id: str) -> ApiKey | None:
        """Return the key with this id, unless it is revoked or expired."""
        key = self._backend_provider().catalogue.api_key(key_id)
        return key if key and not key.has_expired(self._clock()) else None

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._secret, key.encode("utf-8", "surrogatepass"), hashlib.sha256)


class Authentication:
    """Establishes who sends a request, and counts the request against that sender's rate limit."""

    def __init__(
        self,
        keys: KeyVerifier,
        rate: RateLimiter,
        identity_provider: IdentityProvider | None,
        session_ms: int,
        clock: Clock,
        was_ended: Callable[[Session], bool],
    ) -> None:
        self.identity_provider = identity_provider
        self._keys = keys
        self._rate = rate
        self._session_ms = session_ms
        self._clock = clock
        self._was_ended = was_ended
        self._sign_ins = RateLimiter(SIGN_INS_PER_SECOND, burst=SIGN_INS_MAX)

    async def authenticate(self, request: Request, key: str | None) -> Identity:
        """Return who sends an API request, by its key or else by its session.

        401 without either of them; 403 if a session's request changes something without a CSRF token.
        """
        if key is not None:
            return await self._authenticate_key(request, key)
        identity = self.session_identity(request)
        if identity is None:
            self._rate.consume(_address(request))
            raise _unauthenticated("not signed in")
        self._rate.consume(sender_of(identity))
        require_csrf_header(request)
        return identity

    def authenticate_page(self, request: Request) -> Identity | None:
        """Return who is signed in on the page; None if nobody is."""
        identity = self.session_identity(request)
        self._rate.consume(sender_of(identity) if identity else _address(request))
        return identity

    def session(self, request: Request) -> Session | None:
        """Return the session of a request's cookie; None if it was ended, or has lasted too long."""
        session = read_session(request.scope.get("session", {}))
        if session is None or self._clock() >= session.since_ms + self._session_ms:
            return None
        return None if self._was_ended(session) else session

    def session_identity(self, request: Request) -> Identity | None:
        """Return who is signed in, with what its key or its groups are granted now.

        A session ends with its key; a key that was created later under the same id is another one.
        """
        session = self.session(request)
        if session is None:
            return None
        if session.account is None:
            key = self._keys.valid_key(session.key_id or "")
            return key.identity if key and key.created_ms == session.key_created_ms else None
        if self.identity_provider is None:
            return None
        return self.identity_provider.identity(session.name, session.account, session.groups)

    def count_sign_in(self, session: Session) -> None:
        """Count a sign-in of an account; 429 after too many, each of which is remembered for hours."""
        self._sign_ins.consume(session.principal)

    async def verify_key(self, request: Request, key: str) -> ApiKey | None:
        """Return the document of a valid key, and count the request for its owner.

        A key that is not verified yet counts for the address, and for its id if that is known: nobody can use
        up another key's limit.
        """
        if not self._keys.was_verified(key):
            id_ = console_keys.key_id(key)
            known = f" key {id_}" if self._keys.valid_key(id_) else ""
            self._rate.consume(f"{_address(request)}{known}")
        stored = await self._keys.verify(request, key)
        if stored:
            self._rate.consume(stored.id)
        return stored

    def is_still_valid(self, request: Request, identity: Identity) -> bool:
        """Return whether the key or session that established `identity` for a request is still valid."""
        if request.scope.get(AUTHENTICATED_KEY) is None:
            return self.session_identity(request) is not None
        key = self._keys.valid_key(identity.vouched_by)
        return key is not None and key.created_ms == identity.key_created_ms

    async def _authenticate_key(self, request: Request, key: str) -> Identity:
        stored = await self.verify_key(request, key)
        if stored is None:
            audit_recorder(request).key_refused(request, console_keys.key_id(key))
            raise _unauthenticated("this key is wrong, revoked or expired")
        request.scope[AUTHENTICATED_KEY] = stored.id
        audit_recorder(request).key_used(request, stored)
        return stored.identity


def sender_of(identity: Identity) -> str:
    """Return what the requests of a session count for: not its name, which somebody else may have too."""
    account = identity.account if identity.vouched_by == CONSOLE else None
    return f"account {account.issuer} {account.subject}" if account else f"session {identity.vouched_by}"


def _unauthenticated(why: str) -> HTTPException:
    headers = {"WWW-Authenticate": "Bearer"}
    return HTTPException(401, f"{why}; {HOW_TO_AUTHENTICATE}", headers=headers)


def _address(request: Request) -> str:
    return f"address {network_of(request.client.host)}" if request.client else "unknown address"
