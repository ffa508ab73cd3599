"""A session on the page: what its signed cookie says about who signed in, when and how."""

import hashlib
import secrets
from collections.abc import MutableMapping
from typing import Any

from pydantic import ValidationError

from sluiceway.contracts.identity import ApiKey
from sluiceway.contracts.models import WireModel
from sluiceway.contracts.persons import Account

#: The session's key in the content of the cookie.
SESSION_FIELD = "session"
ID_BYTES = 18


class Session(WireModel):
    """Who signed in. A cookie of the last version has no session, so those users must sign in again."""

    #: New at each sign-in, so that nobody can choose another's.
    id: str
    #: When it started, by the broker's time.
    since_ms: int
    #: The key that it was started with, and when that was created; absent: an account.
    key_id: str | None = None
    key_created_ms: int | None = None
    #: The account that it was started with, and the name and groups that the provider told; absent: a key.
    account: Account | None = None
    name: str = ""
    groups: tuple[str, ...] = ()

    @property
    def principal(self) -> str:
        """The key or the account, as one text that is nobody else's."""
        if self.account:
            return f"account {self.account.issuer} {self.account.subject}"
        return f"key {self.key_id} {self.key_created_ms}"

    @property
    def digests(self) -> tuple[str, str]:
        """What stands for the principal and for the session where others can read it."""
        return digest(self.principal), digest(self.id)


def session_of_key(key: ApiKey, now_ms: int) -> Session:
    """Return a new session for the owner of a key."""
    return Session(id=_new_id(), since_ms=now_ms, key_id=key.id, key_created_ms=key.created_ms)


def session_of_account(account: Account, name: str, groups: tuple[str, ...], now_ms: int) -> Session:
    """Return a new session for a user whom the identity provider has signed in."""
    return Session(id=_new_id(), since_ms=now_ms, account=account, name=name, groups=groups)


def read_session(cookie: MutableMapping[str, Any]) -> Session | None:
    """Return the session in a cookie's content; None if there is none."""
    if SESSION_FIELD not in cookie:
        return None
    try:
        return Session.model_validate(cookie[SESSION_FIELD])
    except ValidationError:
        return None


def digest(text: str) -> str:
    """Return a token of a subject that tells nothing of the text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _new_id() -> str:
    return secrets.token_urlsafe(ID_BYTES)
