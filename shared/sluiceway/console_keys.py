"""API keys, with which people and machines authenticate to the console. Only Argon2 hashes are stored."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: The official Console API requires this prefix.
PREFIX = "console-"
SECRET_BYTES = 24
ID_BYTES = 4
#: Longer texts are not keys, and are not hashed.
KEY_LENGTH_MAX = 200

#: OWASP's second recommendation: 19 MiB, two passes. The secret has 192 random bits: an extra safeguard.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def mint(id_: str | None = None) -> str:
    """Return a new key: `console-<id>-<secret>`, with letters, digits and dashes only."""
    return f"{PREFIX}{id_ or secrets.token_hex(ID_BYTES)}-{secrets.token_hex(SECRET_BYTES)}"


def key_id(key: str) -> str:
    """Return the public part of a key; empty if the text is not a key."""
    parts = key.removeprefix(PREFIX).split("-")
    is_key = key.startswith(PREFIX) and len(parts) == 2 and len(key) <= KEY_LENGTH_MAX and key.isascii()
    return parts[0] if is_key else ""


def hash_of(key: str) -> str:
    """Return the hash of a key, the only thing that is stored."""
    return _HASHER.hash(key)


@cache
def _unknown_hash() -> str:
    """Return the hash that is compared with an unknown key, so that the answer takes the same time."""
    return _HASHER.hash(secrets.token_hex(SECRET_BYTES))


def matches(key: str, hash_: str | None) -> bool:
    """Return whether a key is the one that was hashed. Takes tens of milliseconds, also without a hash."""
    try:
        return _HASHER.verify(hash_ or _unknown_hash(), key) and hash_ is not None
    except (VerificationError, InvalidHashError, UnicodeError):
        return False
