"""SDK keys, with which a process authenticates to an edge. Only digests are stored."""

import hashlib
import secrets

#: The official SDKs require this prefix.
PREFIX = "secret-"
SECRET_BYTES = 24
ID_BYTES = 4


def mint() -> str:
    """Return a new key: `secret-<id>-<secret>`, with letters, digits and dashes only."""
    return f"{PREFIX}{secrets.token_hex(ID_BYTES)}-{secrets.token_hex(SECRET_BYTES)}"


def key_id(key: str) -> str:
    """Return the public part of a key; empty if the text is not a key."""
    parts = key.removeprefix(PREFIX).split("-")
    return parts[0] if len(parts) == 2 and key.startswith(PREFIX) else ""


def digest(key: str) -> str:
    """Return the digest that is stored for a key: SHA-256 in hex, enough for a secret of 192 random bits."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
