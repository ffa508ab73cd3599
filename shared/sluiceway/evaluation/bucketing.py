"""Unit → bucket, as Statsig's Server Core SDKs deal them."""

import hashlib

BUCKETS = 10_000


def hash64(text: str) -> int:
    """Return the first 8 bytes of the SHA-256 of `text`, big-endian."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def passes(percentage: float, salt: str, unit: str) -> bool:
    """Say whether a unit is within a percentage (0 to 100).

    `salt` is the spec's and the rule's, joined by a dot. While it stays the same, a unit that
    passes at some percentage passes at every greater one.
    """
    if percentage == 100:
        return True
    if percentage == 0:
        return False
    return hash64(f"{salt}.{unit}") % BUCKETS < percentage * 100.0
