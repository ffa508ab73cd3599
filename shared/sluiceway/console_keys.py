"""API keys: what people and machines show the console. Only an Argon2 hash of each is stored."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: The official Console API wants its keys to begin so.
PREFIX = "console-"
SECRET_BYTES = 24
ID_BYTES = 4
#: Longer texts are no key, and are not worth hashing.
KEY_LENGTH_MAX = 200

#: OWASP's second choice: 19 MiB, two passes. The secret has 192 random bits, so this is a second fence.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def mint(id_: str | None = None) -> str:
    """Return a new key: `console-<id>-<secret>`, with letters, digits and dashes only."""
    return f"{PREFIX}{id_ or secrets.token_hex(ID_BYTES)}-{secrets.token_hex(SECRET_BYTES)}"


def key_id(key: str) -> str:
    """Return the public part of a key; empty for what is none."""
    parts = key.removeprefix(PREFIX).split("-")
    is_key = key.startswith(PREFIX) and len(parts) == 2 and len(key) <= KEY_LENGTH_MAX and key.isascii()
    return parts[0] if is_key else ""


def hash_of(key: str) -> str:
    """Return what is stored of a key."""
    return _HASHER.hash(key)


@cache
def _nothing() -> str:
    """Return what stands where a key is not known, so that the answer takes the same time."""
    return _HASHER.hash(secrets.token_hex(SECRET_BYTES))


def matches(key: str, hash_: str | None) -> bool:
    """Say whether a key is the one that was hashed. Takes tens of milliseconds, also without a hash."""
    try:
        return _HASHER.verify(hash_ or _nothing(), key) and hash_ is not None
    except (VerificationError, InvalidHashError, UnicodeError):
        return False
